//! Measures how often, and for how long, two servers accept edits of one
//! document while it moves, and what the servers make of it.
//!
//! Nothing forbids it yet: a call that was under way when its document moved
//! ends on the old owner, and one proxy routes by the new assignment a moment
//! before the other. Both are counted from what the servers log, on the one
//! monotonic clock of the machine.

#![forbid(unsafe_code)]

mod fleet;
mod outcome;
mod overlap;
mod writers;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use document_server::log::Moment;
use yorkies_tests::{Cluster, Mode, Settings, TestEnvironment, eventually};

use fleet::Fleet;
use outcome::{Outcome, Round};
use overlap::Generation;
use writers::Writers;

const PROJECT: &str = "abcdefghij0123456789AB";

/// After a rebalance, until its calls have surely ended on the old owner.
const REST: Duration = Duration::from_millis(500);

/// Two writers of one document, while it moves.
#[derive(Debug, Parser)]
struct Arguments {
    /// Changes of the members; each moves every document to a new server.
    #[arg(long, default_value_t = 100)]
    rebalances: usize,
    /// Documents, each with a writer through each of two proxies.
    #[arg(long, default_value_t = 40)]
    documents: usize,
    /// Between two edits of a writer, in milliseconds; 0: as fast as it is
    /// answered.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100])]
    pause: Vec<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for &pause in &arguments.pause {
        TestEnvironment::open("two-writers", async |env| {
            let outcome = measure(env, &arguments, Duration::from_millis(pause)).await?;
            outcome.print();
            Ok(())
        })?;
    }
    Ok(())
}

async fn measure(
    env: &mut TestEnvironment,
    arguments: &Arguments,
    pause: Duration,
) -> Result<Outcome> {
    let mut fleet = Fleet::start(env).await?;
    let mut cluster = Cluster::start(env, Settings::default(), &Mode::ALL, fleet.entries()).await?;
    let mut urls = Vec::new();
    for envoy in &cluster.envoys {
        urls.push(format!("http://{}", envoy.address().await?));
    }
    let documents: Vec<_> = (0..arguments.documents)
        .map(|number| format!("document-{number}"))
        .collect();
    let writers = Writers::start(&urls, PROJECT, &documents, pause);
    eventually("everybody writes", async || {
        let edits = writers.acknowledged();
        ensure!(edits > 4 * documents.len(), "{edits} edits");
        Ok(())
    })
    .await?;

    let start = Instant::now();
    let mut rounds: Vec<Round> = Vec::new();
    let mut old = Generation::default();
    for number in 0..arguments.rebalances {
        let entries = fleet.next().await?;
        let changed_ns = Moment::now().monotonic_ns;
        cluster.edit(entries)?;
        cluster.rebalanced().await?;
        tokio::time::sleep(REST).await;
        let retired = Generation::of(&fleet.retire()?, &writers.proxies());
        if let Some(last) = rounds.last_mut() {
            last.fill(&old, &retired);
        }
        old = retired;
        rounds.push(Round::started(changed_ns));
        if (number + 1) % 20 == 0 {
            eprintln!("{} rebalances", number + 1);
        }
    }
    let time = start.elapsed();
    let proxies = writers.proxies();
    let seen = writers.stop().await?;
    let last = Generation::of(&fleet.end()?, &proxies);
    if let Some(round) = rounds.last_mut() {
        round.fill(&old, &last);
    }
    let mut outcome = Outcome::new(pause, time, documents.len(), rounds, &seen);
    for document in &documents {
        let stored = fleet.stored(PROJECT, document).await?;
        outcome.compare(document, &stored, &seen);
    }
    Ok(outcome)
}
