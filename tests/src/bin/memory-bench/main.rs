//! Measures what many assignments cost an Envoy that has many open streams:
//! memory, wasm VMs, processor time.
//!
//! Members and filter come from files, so that nothing is waited for but the
//! filter. Each assignment is handed out as a rebalance does it: the members,
//! the filter's new epoch with the drain on hold, and the release.

#![forbid(unsafe_code)]

mod envoy;
mod floor;
mod load;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use yorkies_tests::{Figures, TestEnvironment};

use envoy::Reading;
use load::Scene;

/// Assignments before the first reading that counts: allocators and pools grow
/// to the size that they need.
const WARM_UP: usize = 50;

/// The filter is configured with the drain on hold, and with its release.
const PER_ASSIGNMENT: usize = 2;

/// Between the last assignment and a reading.
const REST: Duration = Duration::from_secs(3);

/// Memory over many assignments.
#[derive(Debug, Parser)]
struct Arguments {
    /// Open watches on the one proxy, of as many documents.
    #[arg(long, default_value_t = 10_000)]
    streams: usize,
    /// Assignments, one after another.
    #[arg(long, default_value_t = 1000)]
    assignments: usize,
    /// Readings in between.
    #[arg(long, default_value_t = 10)]
    readings: usize,
    /// Members; one of them has another weight in every second assignment.
    #[arg(long, default_value_t = 20)]
    members: usize,
    /// The module of an empty filter: measures what Envoy itself takes for as
    /// many configurations.
    #[arg(long)]
    empty: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    TestEnvironment::open("memory", async |env| {
        measure(env, &arguments).await?;
        let Some(empty) = &arguments.empty else {
            return Ok(());
        };
        let configurations = PER_ASSIGNMENT * arguments.assignments;
        let (first, last) = floor::measure(env, empty, configurations).await?;
        let per = |now: f64, then: f64| (now - then) / arguments.assignments as f64;
        println!(
            "an empty filter, no streams, as many configurations ({PER_ASSIGNMENT} for each assignment): RSS {:+.2} KB and allocated memory {:+.2} KB per assignment, {:.1} ms CPU of Envoy",
            per(last.rss_kb, first.rss_kb),
            per(last.allocated_kb, first.allocated_kb),
            per(last.cpu_ms, first.cpu_ms),
        );
        Ok(())
    })
}

async fn measure(env: &mut TestEnvironment, arguments: &Arguments) -> Result<()> {
    let mut scene = Scene::start(env, arguments.members, arguments.streams).await?;
    for _ in 0..WARM_UP {
        scene.assign().await?;
    }
    println!(
        "{} open streams, {} members, 1 proxy with 2 workers; after {WARM_UP} assignments of warm-up\n",
        arguments.streams, arguments.members
    );
    println!(
        "{:>11} {:>9} {:>11} {:>11} {:>9} {:>6} {:>12} {:>13}",
        "assignments", "moved", "RSS", "allocated", "per each", "VMs", "VMs so far", "CPU per each"
    );
    let first = scene.read(REST).await?;
    show(0, 0, &first, &first, &first);
    let (mut last, mut times) = (first.clone(), Vec::new());
    let (mut moved, mut done) = (0, 0);
    for reading in 1..=arguments.readings {
        let upto = arguments.assignments * reading / arguments.readings;
        let before = moved;
        for _ in done..upto {
            let start = Instant::now();
            moved += scene.assign().await?;
            times.push(start.elapsed());
        }
        done = upto;
        let now = scene.read(REST).await?;
        show(done, moved - before, &now, &last, &first);
        last = now;
    }
    let per = |now: f64, then: f64| (now - then) / done.max(1) as f64;
    let times: Figures = times.into_iter().collect();
    println!(
        "\nan assignment, from the files to 0 misplaced: median {}, worst {}",
        Figures::show(times.median()),
        Figures::show(times.worst())
    );
    println!(
        "over {done} assignments: RSS {:+.2} KB and allocated memory {:+.2} KB per assignment, {:.1} ms CPU of Envoy each, {moved} streams moved",
        per(last.rss_kb, first.rss_kb),
        per(last.allocated_kb, first.allocated_kb),
        per(last.cpu_ms, first.cpu_ms),
    );
    let open = scene.open();
    ensure!(open == arguments.streams, "{open} streams are open");
    Ok(())
}

/// One line; memory since `first`, processor time since `last`.
fn show(done: usize, moved: usize, now: &Reading, last: &Reading, first: &Reading) {
    let share = |now: f64, then: f64, by: usize| (now - then) / by.max(1) as f64;
    let since = now.epochs - last.epochs;
    println!(
        "{done:>11} {moved:>9} {:>8.1} MB {:>8.1} MB {:>6.2} KB {:>6} {:>12} {:>10.1} ms",
        now.rss_kb / 1e3,
        now.allocated_kb / 1e3,
        share(now.allocated_kb, first.allocated_kb, done),
        now.vms,
        now.vms_created,
        share(now.cpu_ms, last.cpu_ms, since),
    );
}
