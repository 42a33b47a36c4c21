//! `make demo` and `make up`: the whole system on free ports of this machine,
//! for a person to look at.

#![forbid(unsafe_code)]

mod audience;
mod streams;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::Value;
use sharding::{Assignment, Policy, Roster};
use yorkies_tests::{
    Client, ControlPlane, DocumentServer, DocumentStore, Envoy, Mode, PAGES_RULE, Protocol, Reply,
    Request, Settings, TestEnvironment, assignment, eventually, keys, run_xds_server,
};

use audience::Audience;
use streams::Streams;

/// Documents that are asked for.
const DOCUMENTS: usize = 1000;

/// Of these, as many are watched, by one person each.
const WATCHED: usize = 200;

/// Documents that are shown one by one: the whole output fits on a screen of 80
/// columns and 40 lines.
const SHOWN: usize = 3;

/// Routes documents through a real Envoy.
#[derive(Debug, Parser)]
struct Arguments {
    /// Keep everything running until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<()> {
    let Arguments { keep } = Arguments::parse();
    TestEnvironment::open("demo", async |environment| {
        let mut demo = Demo::start(environment).await?;
        demo.show_owners().await?;
        demo.open_streams().await?;
        demo.add_server().await?;
        demo.show_status().await?;
        if keep {
            demo.explain().await?;
            tokio::signal::ctrl_c().await?;
            println!("Stopping.");
        }
        Ok(())
    })
}

struct Demo {
    store: DocumentStore,
    servers: Vec<DocumentServer>,
    control_plane: ControlPlane,
    envoy: Envoy,
    client: Client,
    keys: Vec<String>,
    audience: Option<Audience>,
    folder: PathBuf,
    epoch: u64,
}

impl Demo {
    async fn start(environment: &mut TestEnvironment) -> Result<Self> {
        let folder = environment.folder().to_owned();
        let store = DocumentStore::start(&folder).await?;
        let mut servers = Vec::new();
        for number in 0..3 {
            servers.push(server(&folder, number, &store).await?);
        }
        let settings = Settings {
            more: PAGES_RULE,
            ..Settings::default()
        };
        let control_plane = environment.control_plane(settings).await?;
        control_plane.members().replace(&roster(&servers)?)?;
        let envoy = environment.envoy(&control_plane, Mode::Delta).await?;
        let client = envoy.client(Protocol::H2c).await?;

        println!(
            "Started: {} servers, Envoy at {}, control plane at {}",
            servers.len(),
            envoy.address().await?,
            control_plane.address()
        );
        let epoch = newer_epoch(&client, 0).await?;
        Ok(Self {
            store,
            servers,
            control_plane,
            envoy,
            client,
            keys: keys(DOCUMENTS),
            audience: None,
            folder,
            epoch,
        })
    }

    async fn show_owners(&self) -> Result<()> {
        let predicted = self.predicted()?;
        let observed = self.observed().await?;
        println!("\nEvery document is served by its owner");
        println!("  {:<24} {:<12} SERVED BY", "KEY", "OWNER");
        for (key, server) in self.keys.iter().zip(&observed).take(SHOWN) {
            println!("  {key:<24} {:<12} {server}", owner(&predicted, key)?);
        }
        self.compare(&predicted, &observed)
    }

    async fn open_streams(&mut self) -> Result<()> {
        let url = format!("http://{}", self.envoy.address().await?);
        self.audience = Some(Audience::gather(&url, &self.keys[..WATCHED]).await?);
        Ok(())
    }

    async fn add_server(&mut self) -> Result<()> {
        let before = self.predicted()?;
        let new = server(&self.folder, self.servers.len(), &self.store).await?;
        let new_id = new.entry(1).id;
        self.servers.push(new);
        let audience = self.audience.as_ref().context("nobody watches")?;
        let (start, watched) = (Instant::now(), audience.open());
        self.control_plane
            .members()
            .replace(&roster(&self.servers)?)?;
        let (epoch, took) = self.rebalanced().await?;
        self.epoch = epoch;
        audience.complete().await?;

        let after = self.predicted()?;
        let mut moved = BTreeSet::new();
        for (index, key) in self.keys.iter().enumerate() {
            if owner(&before, key)? != owner(&after, key)? {
                moved.insert(index);
            }
        }
        println!("\n{WATCHED} people watch a document each, and {new_id} joins (epoch {epoch})");
        let streams = Streams {
            before: watched,
            ended: audience.ended_since(start),
            after: audience.open(),
        };
        streams.print(&moved);
        println!(
            "  every stream was at its owner {took} ms after the new assignment was published"
        );
        streams.print_moved(&moved, &self.keys, SHOWN);
        self.expect_placed(&streams, &moved)?;

        let observed = self.observed().await?;
        self.compare(&after, &observed)?;
        let to_others = moved.iter().filter(|&&index| observed[index] != new_id);
        println!(
            "  {} documents moved, {:.1} %; ideal {:.1} %; {} between servers that stayed",
            moved.len(),
            percent(moved.len(), DOCUMENTS),
            percent(1, self.servers.len()),
            to_others.count(),
        );
        Ok(())
    }

    /// Fails unless just those streams ended that had to, and all are where they
    /// belong.
    fn expect_placed(&self, streams: &Streams, moved: &BTreeSet<usize>) -> Result<()> {
        let had_to = moved.iter().filter(|&&index| index < WATCHED).count();
        let others = streams.ended.len() - streams.ended_moved(moved).count();
        let open = streams.after.iter();
        let astray =
            open.filter(|(index, server)| self.owner_now(**index).as_ref() != Some(*server));
        let (ended, astray) = (streams.ended.len(), astray.count());
        ensure!(
            ended == had_to && others == 0 && astray == 0,
            "{had_to} streams had to end and {ended} did, {others} of them without need; {astray} are astray"
        );
        Ok(())
    }

    fn owner_now(&self, document: usize) -> Option<String> {
        let predicted = self.predicted().ok()?;
        owner(&predicted, &self.keys[document]).ok()
    }

    /// What an operator sees of all this.
    async fn show_status(&self) -> Result<()> {
        let admin = self.control_plane.admin_url();
        // Proxies report once a second.
        eventually("every stream reported", async || {
            let status = self.control_plane.status().await?;
            let members = status["members"].as_array().context("no members")?;
            let open: u64 = members
                .iter()
                .filter_map(|member| member["open"].as_u64())
                .sum();
            ensure!(open == WATCHED as u64, "{open} are");
            Ok(())
        })
        .await?;
        let output = run_xds_server(&self.folder, &["status", "--admin", &admin]).await?;
        ensure!(output.status.success(), "{output:?}");
        println!("\nxds-server status --admin {admin}");
        print!("{}", String::from_utf8(output.stdout)?);
        Ok(())
    }

    /// Waits until the rebalance to the present servers is over; returns its epoch
    /// and how long it took until no stream was misplaced, in milliseconds.
    async fn rebalanced(&self) -> Result<(u64, u64)> {
        eventually("rebalanced", async || {
            let status = self.control_plane.status().await?;
            let epoch = status["epoch"].as_u64().unwrap_or_default();
            ensure!(
                epoch > self.epoch && status["stage"] == "stable",
                "at epoch {epoch}, {}",
                status["stage"]
            );
            let record = &status["last"][0];
            let (hold, drain) = (record["hold_ms"].as_u64(), record["drain_ms"].as_u64());
            ensure!(record["outcome"] == "done", "{record}");
            Ok((epoch, hold.unwrap_or_default() + drain.unwrap_or_default()))
        })
        .await
    }

    fn compare(&self, predicted: &Assignment, observed: &[String]) -> Result<()> {
        for (key, server) in self.keys.iter().zip(observed) {
            let owner = owner(predicted, key)?;
            ensure!(
                owner == *server,
                "{key} belongs to {owner}, but {server} served it"
            );
        }
        println!("  {DOCUMENTS} of {DOCUMENTS} documents at their owner");
        Ok(())
    }

    fn predicted(&self) -> Result<Assignment> {
        let members = self.servers.iter().map(|server| server.entry(1)).collect();
        assignment(Policy::default(), members)
    }

    async fn observed(&self) -> Result<Vec<String>> {
        let requests: Result<Vec<_>> = self.keys.iter().map(|key| echo(key)).collect();
        let replies = self.client.send_all(requests?).await?;
        replies
            .into_iter()
            .map(|reply| served_by(&reply?))
            .collect()
    }

    async fn explain(&self) -> Result<()> {
        let envoy = self.envoy.address().await?;
        println!("\nRunning until Ctrl-C");
        println!("  write:         http://{envoy}/demo/");
        println!("  ask:           curl -H 'x-shard-key: project/document' http://{envoy}/echo");
        println!("  Envoy's admin: http://{}", self.envoy.admin()?.address());
        println!(
            "  status:        xds-server status --watch --admin {}",
            self.control_plane.admin_url()
        );
        println!(
            "  members:       {} (edit it)",
            self.control_plane.members().path().display()
        );
        println!("  logs:          {}", self.folder.display());
        Ok(())
    }
}

async fn server(folder: &Path, number: usize, store: &DocumentStore) -> Result<DocumentServer> {
    DocumentServer::start_with_pages(folder, &format!("yorkie-{number}"), store).await
}

fn roster(servers: &[DocumentServer]) -> Result<Roster> {
    Ok(Roster::new(
        servers.iter().map(|server| server.entry(1)).collect(),
    )?)
}

fn echo(key: &str) -> Result<Request> {
    Request::new(http::Method::GET, "/echo").header(sharding::SHARD_KEY, key)
}

/// Waits until every connection is answered under an epoch above `epoch`, and
/// returns the lowest of them.
async fn newer_epoch(client: &Client, epoch: u64) -> Result<u64> {
    yorkies_tests::eventually("routing under the new assignment", async || {
        let mut lowest = u64::MAX;
        for reply in client.on_each_connection(&echo("project/probe")?).await? {
            lowest = lowest.min(epoch_of(&reply)?);
        }
        ensure!(lowest > epoch, "a worker is still at epoch {lowest}");
        Ok(lowest)
    })
    .await
}

fn epoch_of(reply: &Reply) -> Result<u64> {
    let text = reply.text();
    ensure!(reply.status.is_success(), "{}: {text}", reply.status);
    let echo: Value = serde_json::from_str(&text)?;
    let epoch = echo[sharding::SHARD_EPOCH][0].as_str();
    Ok(epoch
        .with_context(|| format!("no epoch in {text}"))?
        .parse()?)
}

fn served_by(reply: &Reply) -> Result<String> {
    let server = reply.headers.get("x-served-by");
    let server = server.with_context(|| format!("{}: {}", reply.status, reply.text()))?;
    Ok(server.to_str()?.to_owned())
}

fn owner(assignment: &Assignment, key: &str) -> Result<String> {
    let owner = assignment.owner(key.as_bytes()).context("no members")?;
    Ok(owner.member.id.clone())
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
