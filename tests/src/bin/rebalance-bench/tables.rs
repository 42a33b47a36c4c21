//! The results for people.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use yorkies_tests::Figures;

use crate::practice::Practice;
use crate::scene::{GIVE_UP, Round, Steps};

/// For how long the members file has to rest, and after that the roster.
const WINDOWS: Duration = Duration::from_millis(250 + 250);

/// Load averages, as the kernel has them.
pub(crate) fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

pub(crate) fn print(results: &[(Practice, Vec<Round>)]) {
    println!("From the change to the end of the last stream that moved, as its client sees it,");
    println!("beyond the {WINDOWS:?} for which the members file and the roster have to rest");
    println!(
        "  {:<30} {:>7} {:>10} {:>10} {:>7} {:>18}",
        "", "changes", "median", "worst", "moved", "unmoved, but cut"
    );
    for (practice, rounds) in results {
        println!("{}", ends(*practice, rounds));
    }
    for (practice, rounds) in results {
        let steps: Vec<_> = rounds
            .iter()
            .filter_map(|round| round.steps.as_ref())
            .collect();
        if !steps.is_empty() {
            println!("\n{}: where the time goes", practice.name());
            print_steps(&steps);
        }
    }
}

fn ends(practice: Practice, rounds: &[Round]) -> String {
    let beyond = |round: &Round| Some(round.time?.saturating_sub(WINDOWS));
    let times: Figures = rounds.iter().filter_map(beyond).collect();
    let worst = if times.count() == rounds.len() {
        Figures::show(times.worst())
    } else {
        format!("> {:.0} s", GIVE_UP.as_secs_f64())
    };
    let sum = |of: fn(&Round) -> usize| rounds.iter().map(of).sum::<usize>();
    let (moved, unmoved, cut) = (sum(|r| r.moved), sum(|r| r.unmoved), sum(|r| r.cut));
    format!(
        "  {:<30} {:>7} {:>10} {worst:>10} {moved:>7} {:>18}",
        practice.name(),
        rounds.len(),
        Figures::show(times.median()),
        format!("{cut} of {unmoved}"),
    )
}

fn print_steps(steps: &[&Steps]) {
    println!("  {:<60} {:>10} {:>10}", "", "median", "worst");
    let row = |name: &str, figures: &Figures| {
        let (median, worst) = (
            Figures::show(figures.median()),
            Figures::show(figures.worst()),
        );
        println!("  {name:<60} {median:>10} {worst:>10}");
    };
    let of = |of: fn(&Steps) -> Duration| steps.iter().map(|step| of(step)).collect::<Figures>();
    row(
        "until the servers have lost the last, beyond the rests",
        &of(|step| step.apart.last.saturating_sub(WINDOWS)),
    );
    row(
        "change of the file until the control plane knows of it",
        &of(|step| step.noticed),
    );
    row("settling", &of(|step| step.settled));
    row(
        "published until all proxies route by it (hold)",
        &of(|step| step.held),
    );
    row(
        "from there until all report 0 misplaced (drain)",
        &of(|step| step.drained),
    );
    row(
        "published until 0 misplaced (hold + drain)",
        &of(|step| step.held + step.drained),
    );
    let mut documents = Figures::default();
    let mut beyond = Figures::default();
    for step in steps {
        documents.extend(&step.apart.documents);
        beyond.extend(&step.apart.beyond);
    }
    let count = documents.count();
    println!("  as the servers see it, of {count} times that a document moved:");
    row("its first watcher that leaves to its last", &documents);
    row("skew of the two proxies", &of(|step| step.apart.skew));
    row("its first watcher to its last, beyond the skew", &beyond);
    let share = Figures::show(beyond.share(99));
    println!("  of 99 in 100 documents within {share}");
}
