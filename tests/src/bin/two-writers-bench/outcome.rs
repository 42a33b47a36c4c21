//! What came of it all, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use yorkies_tests::Figures;

use crate::overlap::{Generation, Overlap};
use crate::writers::Seen;

/// How long two servers were at one document, if they were.
type Took = fn(&Overlap) -> Option<Duration>;

/// One rebalance.
#[derive(Debug, Default)]
pub(crate) struct Round {
    started_ns: u64,
    /// By document.
    overlaps: BTreeMap<String, Overlap>,
    skew: Option<Duration>,
    refused: BTreeMap<String, usize>,
    /// Documents of which an acknowledged edit is missing.
    losers: BTreeSet<String>,
}

pub(crate) struct Outcome {
    pause: Duration,
    time: Duration,
    documents: usize,
    rounds: Vec<Round>,
    acknowledged: usize,
    /// As the writers saw it: by call, code, and whether the SDK would stop.
    refusals: BTreeMap<(&'static str, String, bool), usize>,
    missing: usize,
    doubled: usize,
    unacknowledged: usize,
    examples: BTreeMap<String, String>,
}

impl Round {
    pub(crate) fn started(at_ns: u64) -> Self {
        Self {
            started_ns: at_ns,
            ..Self::default()
        }
    }

    /// Takes what the servers before and after it have logged.
    pub(crate) fn fill(&mut self, old: &Generation, new: &Generation) {
        self.overlaps = new.overlaps(old);
        self.skew = new.skew();
        self.refused.clone_from(&new.refused);
    }
}

impl Outcome {
    pub(crate) fn new(
        pause: Duration,
        time: Duration,
        documents: usize,
        rounds: Vec<Round>,
        seen: &Seen,
    ) -> Self {
        let (mut refusals, mut examples) = (BTreeMap::new(), BTreeMap::new());
        for refusal in &seen.refusals {
            let kind = (refusal.method, refusal.code.clone(), refusal.is_lasting);
            *refusals.entry(kind).or_default() += 1;
            let example = examples.entry(refusal.code.clone());
            example.or_insert_with(|| refusal.message.clone());
        }
        Self {
            pause,
            time,
            documents,
            rounds,
            acknowledged: seen.acknowledged.len(),
            refusals,
            missing: 0,
            doubled: 0,
            unacknowledged: 0,
            examples,
        }
    }

    /// Compares what the store has of a document with what was acknowledged.
    pub(crate) fn compare(&mut self, document: &str, stored: &[String], seen: &Seen) {
        let mut known = BTreeSet::new();
        for text in stored {
            if !known.insert(text.as_str()) {
                self.doubled += 1;
            }
        }
        let mut acknowledged = BTreeSet::new();
        for edit in seen.acknowledged.iter().filter(|e| e.document == document) {
            acknowledged.insert(edit.text.as_str());
            if known.contains(edit.text.as_str()) {
                continue;
            }
            self.missing += 1;
            let later = self
                .rounds
                .partition_point(|round| round.started_ns <= edit.at_ns);
            if let Some(round) = later.checked_sub(1).and_then(|r| self.rounds.get_mut(r)) {
                round.losers.insert(document.to_owned());
            }
        }
        self.unacknowledged += known.difference(&acknowledged).count();
    }

    pub(crate) fn print(&self) {
        let moves = self.rounds.len() * self.documents;
        let writers = if self.pause.is_zero() {
            "each as fast as it is answered".to_owned()
        } else {
            format!("each {:?} after the answer to its last edit", self.pause)
        };
        println!(
            "{} rebalances, {} documents with 2 writers, {writers}",
            self.rounds.len(),
            self.documents
        );
        let rate = self.acknowledged as f64 / self.time.as_secs_f64();
        println!(
            "  {} edits acknowledged, {rate:.0} a second; {moves} times that a document moved",
            self.acknowledged
        );
        self.print_overlaps(moves);
        let skews: Figures = self.rounds.iter().filter_map(|round| round.skew).collect();
        println!(
            "  first edit at the new servers, one proxy after the other: median {}, worst {}",
            Figures::show(skews.median()),
            Figures::show(skews.worst()),
        );
        let mut refused = BTreeMap::<&str, usize>::new();
        for (code, count) in self.rounds.iter().flat_map(|round| &round.refused) {
            *refused.entry(code).or_default() += count;
        }
        println!("  edits refused by servers, by code: {refused:?}");
        println!("  refused as the writers saw it:");
        for ((method, code, is_lasting), count) in &self.refusals {
            let then = if *is_lasting {
                "stops an SDK"
            } else {
                "tried again"
            };
            println!("    {count:>6}  {method}: {code}, {then}");
        }
        for example in self.examples.values() {
            println!("    such as: {example}");
        }
        let losing = |round: &Round| round.losers.len();
        let of_two = |round: &Round| {
            let both = |document: &&String| round.overlaps.contains_key(*document);
            round.losers.iter().filter(both).count()
        };
        println!(
            "  in the end: {} acknowledged edits missing (in {} moves, {} of them of those above), {} doubled, {} stored that were never acknowledged\n",
            self.missing,
            self.rounds.iter().map(losing).sum::<usize>(),
            self.rounds.iter().map(of_two).sum::<usize>(),
            self.doubled,
            self.unacknowledged,
        );
    }

    fn print_overlaps(&self, moves: usize) {
        let rounds = self.rounds.iter();
        let all: Vec<_> = rounds.flat_map(|round| round.overlaps.values()).collect();
        let row = |name: &str, time: &dyn Fn(&Overlap) -> Option<Duration>| {
            let some = all.iter().filter(|overlap| time(overlap).is_some());
            let edits: usize = some.map(|overlap| overlap.finished + overlap.late).sum();
            let times: Figures = all.iter().filter_map(|overlap| time(overlap)).collect();
            let share = times.count() as f64 / moves.max(1) as f64 * 100.0;
            println!(
                "  {name:<58} {:>6} {share:>6.1} % {:>9} {:>9} {edits:>6}",
                times.count(),
                Figures::show(times.median()),
                Figures::show(times.worst()),
            );
        };
        println!(
            "  {:<58} {:>6} {:>8} {:>9} {:>9} {:>6}",
            "", "moves", "", "median", "worst", "edits"
        );
        let times: [(_, Took); 2] = [
            (
                "the old owner still worked on it when the new one began",
                |o| Some(o.at_work),
            ),
            ("both had accepted edits", |o| o.accepting),
        ];
        for (name, time) in times {
            row(name, &time);
            row("- only calls that the old owner had already", &|overlap| {
                time(overlap).filter(|_| overlap.late == 0)
            });
            row(
                "- also calls that a proxy sent it later (skew)",
                &|overlap| time(overlap).filter(|_| overlap.late > 0),
            );
        }
    }
}
