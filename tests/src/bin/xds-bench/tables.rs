//! What a person reads of it.

use std::time::Duration;

use yorkies_tests::{Figures, Times};

use crate::Run;

/// One line for a run, as soon as it is over.
pub(crate) fn run(run: &Run) {
    println!("{}", line(run, &[run]));
}

/// One line for each kind of run: medians over all runs, and of changes over
/// all changes.
pub(crate) fn medians(runs: &[Run]) {
    println!("\nmedians");
    let mut shown: Vec<&Run> = Vec::new();
    for run in runs {
        let is_alike = |other: &&Run| other.proxies == run.proxies && other.mode == run.mode;
        if shown.iter().any(is_alike) {
            continue;
        }
        let alike: Vec<&Run> = runs.iter().filter(is_alike).collect();
        println!("{}", line(run, &alike));
        shown.push(run);
    }
}

fn line(run: &Run, runs: &[&Run]) -> String {
    let syncs: Vec<_> = runs.iter().map(|run| &run.sync.from_start).collect();
    let changes: Vec<&Times> = runs.iter().flat_map(|run| &run.changes).collect();
    let from_start: Vec<_> = changes.iter().map(|times| &times.from_start).collect();
    let from_first_byte: Vec<_> = changes.iter().map(|times| &times.from_first_byte).collect();
    let bytes = |of: &dyn Fn(&Run) -> u64| middle(runs.iter().map(|run| of(run)));
    let per = |bytes: u64| bytes as f64 / run.proxies as f64 / 1e3;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let count = run.changes.len().max(1) as u64;
    format!(
        "{} proxies, {}\n  \
         first configuration      {}, {} ms CPU\n  \
         change, from trigger     {}\n  \
         change, from first byte  {}, {} ms CPU\n  \
         memory                   {:.1} MB before, {:.1} MB with all at rest ({:.1} KB each), {:.1} MB after the changes; peaks {:.1} MB and {:.1} MB",
        run.proxies,
        run.mode.name(),
        figures(&syncs),
        bytes(&|run| run.synced.cpu_ms - run.before.cpu_ms),
        figures(&from_start),
        figures(&from_first_byte),
        bytes(&|run| (run.after.cpu_ms - run.synced.cpu_ms) / count),
        mb(bytes(&|run| run.before.rss_bytes)),
        mb(bytes(&|run| run.synced.rss_bytes)),
        per(bytes(&|run| run
            .synced
            .rss_bytes
            .saturating_sub(run.before.rss_bytes))),
        mb(bytes(&|run| run.after.rss_bytes)),
        mb(bytes(&|run| run.synced.peak_bytes)),
        mb(bytes(&|run| run.after.peak_bytes)),
    )
}

/// The medians of what each of them says.
fn figures(all: &[&Figures]) -> String {
    let median = |of: fn(&Figures) -> Option<Duration>| {
        let figures: Figures = all.iter().filter_map(|each| of(each)).collect();
        Figures::show(figures.median())
    };
    format!(
        "p50 {}, p99 {}, last {}",
        median(Figures::median),
        median(|figures| figures.share(99)),
        median(Figures::worst)
    )
}

fn middle(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
