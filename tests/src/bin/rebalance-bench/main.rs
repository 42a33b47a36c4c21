//! Measures how long a rebalance takes until no stream is misplaced, and whom
//! it cuts without need, beside what is usual without it: a timer that cuts
//! everybody.
//!
//! The same listener, the same streams and the same changes for all; only the
//! setting that ends streams differs. The timers run between two halves of the
//! rounds that drain, so that none has the machine at its best.

#![forbid(unsafe_code)]

mod apart;
mod practice;
mod scene;
mod tables;

use anyhow::Result;
use clap::Parser;
use yorkies_tests::TestEnvironment;

use practice::Practice;
use scene::{Round, Scene};

/// Time from a change of the members to no misplaced stream.
#[derive(Debug, Parser)]
struct Arguments {
    /// Open watches, over two proxies and both versions of HTTP.
    #[arg(long, default_value_t = 2000)]
    streams: usize,
    /// Documents that they are of.
    #[arg(long, default_value_t = 400)]
    documents: usize,
    /// Changes, alternately one server more and one less, with a drain.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Changes under the timers, which take a minute each.
    #[arg(long, default_value_t = 3)]
    timer_rounds: usize,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Practice>,
}

impl Arguments {
    fn rounds(&self, practice: Practice) -> usize {
        if practice.drains() {
            self.rounds.div_ceil(2)
        } else {
            self.timer_rounds
        }
    }
}

/// What is measured, in turn; one that comes twice has half of its rounds each
/// time.
const COURSE: [Practice; 6] = [
    Practice::Drain,
    Practice::Paced,
    Practice::IdleTimeout,
    Practice::ConnectionDuration,
    Practice::Drain,
    Practice::Paced,
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!(
        "{} streams of {} documents, 2 proxies with 2 workers each, 3 and 4 servers; load of the machine {}\n",
        arguments.streams,
        arguments.documents,
        tables::load()?
    );
    let mut results: Vec<(Practice, Vec<Round>)> = Vec::new();
    for practice in COURSE {
        if !arguments.only.is_empty() && !arguments.only.contains(&practice) {
            continue;
        }
        TestEnvironment::open(practice.name(), async |env| {
            let scene = Scene::start(env, practice, &arguments).await?;
            let mut rounds = Vec::new();
            for number in 0..arguments.rounds(practice) {
                rounds.push(scene.round(number).await?);
            }
            match results.iter_mut().find(|(other, _)| *other == practice) {
                Some((_, all)) => all.extend(rounds),
                None => results.push((practice, rounds)),
            }
            Ok(())
        })?;
        eprintln!("{}: done", practice.name());
    }
    tables::print(&results);
    println!("\nload of the machine at the end {}", tables::load()?);
    Ok(())
}
