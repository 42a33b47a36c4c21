//! Which open streams have to end, and how long that takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::rebalance::machine::Pace;

/// What a plan means for open streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    /// Open streams, by the last reports.
    pub open: u64,
    /// How many of them are expected to end.
    pub ending: u64,
    /// The same by the member that they are on, where there are any.
    pub by_member: BTreeMap<String, u64>,
    /// Over how long they are spread, in milliseconds; absent when streams are
    /// not drained.
    pub window_ms: Option<u64>,
    /// Longest time that a document is split, in milliseconds: the window, and
    /// the wait for proxies before it; 0 if none moves. Absent when streams are
    /// not drained: then it lasts until the stream ends by itself.
    pub split_ms: Option<u64>,
}

impl Plan {
    /// What it means for `open` streams by member, if proxies need `hold_ms` to
    /// take over an assignment.
    #[must_use]
    pub fn streams(
        &self,
        open: &BTreeMap<String, u64>,
        pace: Option<Pace>,
        hold_ms: u64,
    ) -> Streams {
        let mut leaving: BTreeMap<&str, f64> = BTreeMap::new();
        for way in &self.moves {
            *leaving.entry(&way.from).or_default() += way.share;
        }
        let ending_on = |id: &str, open: u64| {
            let had = self.before.get(id).copied().unwrap_or_default();
            let is_elsewhere = self.readdressed.iter().any(|readdressed| readdressed == id);
            if is_elsewhere || had <= 0.0 {
                return open;
            }
            let share = leaving.get(id).copied().unwrap_or_default() / had;
            ((open as f64 * share).round() as u64).min(open)
        };
        let by_member: BTreeMap<String, u64> = open
            .iter()
            .map(|(id, &open)| (id.clone(), ending_on(id, open)))
            .filter(|(_, ending)| *ending > 0)
            .collect();
        let sum = |numbers: &BTreeMap<String, u64>| {
            let numbers = numbers.values().copied();
            numbers.fold(0, u64::saturating_add)
        };
        let ending = sum(&by_member);
        let window_ms = pace.map(|pace| pace.window_ms(ending));
        let is_still = self.moves.is_empty() && self.readdressed.is_empty();
        let split_ms = window_ms.map(|window| {
            if is_still {
                0
            } else {
                window.saturating_add(hold_ms)
            }
        });
        Streams {
            open: sum(open),
            ending,
            by_member,
            window_ms,
            split_ms,
        }
    }
}
