//! `make demo` and `make up`: the whole system on free ports of this machine,
//! for a person to look at.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::Value;
use sharding::{Assignment, Policy, Roster};
use yorkies_tests::{
    Client, ControlPlane, DocumentServer, DocumentStore, Envoy, Mode, Protocol, Reply, Request,
    Settings, TestEnvironment, assignment, keys,
};

/// Documents that are asked for.
const DOCUMENTS: usize = 1000;

/// Documents that are shown one by one.
const SHOWN: usize = 8;

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
        demo.add_server().await?;
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
        let control_plane = environment.control_plane(Settings::default()).await?;
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

    async fn add_server(&mut self) -> Result<()> {
        let before = self.predicted()?;
        let new = server(&self.folder, self.servers.len(), &self.store).await?;
        let new_id = new.entry(1).id;
        self.servers.push(new);
        self.control_plane
            .members()
            .replace(&roster(&self.servers)?)?;
        self.epoch = newer_epoch(&self.client, self.epoch).await?;

        let after = self.predicted()?;
        let observed = self.observed().await?;
        println!("\n{new_id} joined (epoch {})", self.epoch);
        println!("  {:<24} {:<12} {:<12} SERVED BY", "KEY", "BEFORE", "OWNER");
        let mut moved = 0;
        let mut to_others = 0;
        for (index, key) in self.keys.iter().enumerate() {
            let (from, to) = (owner(&before, key)?, owner(&after, key)?);
            if from != to {
                moved += 1;
                to_others += usize::from(to != new_id);
                if moved <= SHOWN {
                    println!("  {key:<24} {from:<12} {to:<12} {}", observed[index]);
                }
            }
        }
        self.compare(&after, &observed)?;
        println!(
            "  {moved} of {DOCUMENTS} documents moved, {:.1} %; ideal {:.1} %; {to_others} of them between servers that stayed",
            percent(moved, DOCUMENTS),
            percent(1, self.servers.len()),
        );
        Ok(())
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
        println!("  ask:           curl -H 'x-shard-key: project/document' http://{envoy}/echo");
        println!("  Envoy's admin: http://{}", self.envoy.admin()?.address());
        println!(
            "  members:       {} (edit it)",
            self.control_plane.members().path().display()
        );
        println!("  logs:          {}", self.folder.display());
        Ok(())
    }
}

async fn server(folder: &Path, number: usize, store: &DocumentStore) -> Result<DocumentServer> {
    DocumentServer::start(folder, &format!("yorkie-{number}"), store).await
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
