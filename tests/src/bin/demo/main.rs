//! `make demo` and `make up`: the whole system on free ports of this machine,
//! for a person to look at.

#![forbid(unsafe_code)]

mod audience;

use std::collections::{BTreeMap, BTreeSet};
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

use audience::{Audience, Look};

/// Documents that are asked for.
const DOCUMENTS: usize = 1000;

/// Of these, as many are watched, by one person each.
const WATCHED: usize = 200;

/// Documents that are shown one by one.
const SHOWN: usize = 6;

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
        }
        println!("\nStopping.");
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

        println!("Started");
        println!("  control plane   {}", control_plane.address());
        println!("  Envoy           {}", envoy.address().await?);
        for server in &servers {
            let entry = server.entry(1);
            println!("  {}        {}", entry.id, entry.address);
        }
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
        let audience = Audience::gather(&url, &self.keys[..WATCHED]).await?;
        println!("\n{WATCHED} people watch a document each: streams that stay open");
        println!("  by server: {}", by_server(&audience));
        self.audience = Some(audience);
        Ok(())
    }

    async fn add_server(&mut self) -> Result<()> {
        let before = self.predicted()?;
        let new = server(&self.folder, self.servers.len(), &self.store).await?;
        let new_id = new.entry(1).id;
        self.servers.push(new);
        let start = Instant::now();
        self.control_plane
            .members()
            .replace(&roster(&self.servers)?)?;
        self.epoch = self.rebalanced().await?;

        let after = self.predicted()?;
        let observed = self.observed().await?;
        let mut moved = BTreeSet::new();
        for (index, key) in self.keys.iter().enumerate() {
            if owner(&before, key)? != owner(&after, key)? {
                moved.insert(index);
            }
        }
        println!("\n{new_id} joined (epoch {})", self.epoch);
        self.compare(&after, &observed)?;
        let to_others = moved.iter().filter(|&&index| observed[index] != new_id);
        println!(
            "  {} of {DOCUMENTS} documents moved, {:.1} %; ideal {:.1} %; {} of them between servers that stayed",
            moved.len(),
            percent(moved.len(), DOCUMENTS),
            percent(1, self.servers.len()),
            to_others.count(),
        );
        self.show_streams(&moved, start).await
    }

    /// Which streams ended, and that it was those that had to.
    async fn show_streams(&self, moved: &BTreeSet<usize>, start: Instant) -> Result<()> {
        let audience = self.audience.as_ref().context("nobody watches")?;
        audience.complete().await?;
        let ended = audience.ended_since(start);
        let open = audience.open();
        println!("\nStreams whose document moved were ended, and came back at the new owner");
        println!("  {:<24} {:<12} IS ON", "KEY", "WAS ON");
        let is_moved = |look: &&Look| moved.contains(&look.document);
        for look in ended.iter().filter(is_moved).take(SHOWN) {
            let (key, server) = (&self.keys[look.document], &look.server);
            println!("  {key:<24} {server:<12} {}", open[&look.document]);
        }
        let had_to = moved.iter().filter(|&&index| index < WATCHED).count();
        let others = ended.len() - ended.iter().filter(is_moved).count();
        println!(
            "  {had_to} of {WATCHED} streams had to end: {} did, and {others} others",
            ended.len() - others
        );
        println!("  by server: {}", by_server(audience));
        let astray = open
            .iter()
            .filter(|(index, server)| self.owner_now(**index).as_ref() != Some(*server));
        let astray = astray.count();
        ensure!(
            ended.len() == had_to && others == 0 && astray == 0,
            "{astray} streams are astray"
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
        for line in String::from_utf8(output.stdout)?.lines() {
            println!("  {line}");
        }
        Ok(())
    }

    /// Waits until the rebalance to the present servers is over.
    async fn rebalanced(&self) -> Result<u64> {
        eventually("rebalanced", async || {
            let status = self.control_plane.status().await?;
            let epoch = status["epoch"].as_u64().unwrap_or_default();
            ensure!(
                epoch > self.epoch && status["stage"] == "stable",
                "at epoch {epoch}, {}",
                status["stage"]
            );
            Ok(epoch)
        })
        .await
    }

    fn compare(&self, predicted: &Assignment, observed: &[String]) -> Result<()> {
        let mut served = BTreeMap::new();
        for (key, server) in self.keys.iter().zip(observed) {
            let owner = owner(predicted, key)?;
            ensure!(
                owner == *server,
                "{key} belongs to {owner}, but {server} served it"
            );
            *served.entry(server).or_insert(0_usize) += 1;
        }
        let shares: Vec<_> = served
            .iter()
            .map(|(id, count)| format!("{id} {count}"))
            .collect();
        println!(
            "  {DOCUMENTS} of {DOCUMENTS} documents at their owner: {}",
            shares.join(", ")
        );
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

fn by_server(audience: &Audience) -> String {
    let mut servers = BTreeMap::new();
    for server in audience.open().into_values() {
        *servers.entry(server).or_insert(0_usize) += 1;
    }
    let counts = servers.iter().map(|(id, count)| format!("{id} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn owner(assignment: &Assignment, key: &str) -> Result<String> {
    let owner = assignment.owner(key.as_bytes()).context("no members")?;
    Ok(owner.member.id.clone())
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
