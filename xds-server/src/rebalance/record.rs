//! What is kept of a rebalance.

use serde::{Deserialize, Serialize};

use super::change::{Cause, Change};
use super::view::Behind;

/// A rebalance, from its first snapshot on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Epoch of the assignment that it leads to.
    pub epoch: u64,
    /// When that was published first, in unix milliseconds.
    pub started_unix_ms: u64,
    /// What changed.
    pub changes: Vec<Change>,
    /// From the first change to the publication.
    pub settle_ms: u64,
    /// From there to the release of the drain.
    pub hold_ms: Option<u64>,
    /// From there until no stream was misplaced, or the wait ended.
    pub drain_ms: Option<u64>,
    /// Length of the drain's window.
    pub window_ms: Option<u64>,
    /// What was expected to move; absent until it is computed.
    pub plan: Option<PlanSummary>,
    /// Streams that were drained meanwhile.
    pub drained: u64,
    /// How it ended; absent while it goes on.
    pub outcome: Option<Outcome>,
    /// Proxies that the release did not wait for.
    pub left_behind: Vec<Behind>,
    /// Proxies that had misplaced streams, or did not say, when it ended.
    pub missing: Vec<Behind>,
}

/// The plan of a rebalance in a few numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Share of all keys that move, from 0 to 1.
    pub moved: f64,
    /// The least share that had to.
    pub ideal: f64,
    /// Open streams that have to end, by the last reports.
    pub streams: u64,
    /// Longest time that a document is split, as in
    /// [`Streams`](super::Streams::split_ms).
    pub split_ms: Option<u64>,
    /// Share of all keys that go back to a member that had them before in the
    /// same incarnation.
    pub returning: f64,
}

/// How a rebalance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every proxy said that no stream is misplaced.
    Done,
    /// Some did not, in time.
    Incomplete,
    /// A later one took over.
    Superseded,
    /// Streams stay where they are, as draining is off.
    Held,
}

impl Outcome {
    /// Short name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Incomplete => "incomplete",
            Self::Superseded => "superseded",
            Self::Held => "held",
        }
    }
}

impl Record {
    /// Whether it belongs to a start: proxies are not there yet, or on their way
    /// back, so its times say nothing.
    #[must_use]
    pub fn is_of_start(&self) -> bool {
        let is_of_start = |change: &Change| matches!(change.cause, Cause::First | Cause::Resumed);
        self.changes.iter().any(is_of_start)
    }

    /// Longest time that a document was split, in milliseconds: the wait for
    /// proxies and the drain's window. Until that is known, what the plan
    /// expects. Absent when streams are not drained, when some may still be
    /// misplaced, and when there was nothing before it.
    #[must_use]
    pub fn split_ms(&self) -> Option<u64> {
        if !matches!(self.outcome, None | Some(Outcome::Done)) {
            return None;
        }
        let expected = self.plan?.split_ms?;
        let held = self.hold_ms.unwrap_or_default();
        Some(match self.window_ms {
            _ if expected == 0 => 0,
            Some(window) => held.saturating_add(window),
            None => expected.max(held),
        })
    }

    /// From the publication until no stream was misplaced, in milliseconds;
    /// only of one that was done.
    #[must_use]
    pub fn to_zero_misplaced_ms(&self) -> Option<u64> {
        let done = self.outcome == Some(Outcome::Done);
        let times = self.hold_ms.zip(self.drain_ms).filter(|_| done);
        times.map(|(hold, drain)| hold.saturating_add(drain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(expected: Option<u64>) -> Record {
        Record {
            epoch: 7,
            started_unix_ms: 0,
            changes: Vec::new(),
            settle_ms: 250,
            hold_ms: None,
            drain_ms: None,
            window_ms: None,
            plan: Some(PlanSummary {
                split_ms: expected,
                ..PlanSummary::default()
            }),
            drained: 0,
            outcome: None,
            left_behind: Vec::new(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn a_split_is_as_long_as_expected_until_it_is_known() {
        let mut record = record(Some(60));
        assert_eq!(record.split_ms(), Some(60));
        record.hold_ms = Some(45);
        assert_eq!(record.split_ms(), Some(60));
        record.hold_ms = Some(90);
        assert_eq!(record.split_ms(), Some(90), "it holds for longer");
        record.window_ms = Some(20);
        assert_eq!(record.split_ms(), Some(110));
        record.outcome = Some(Outcome::Done);
        assert_eq!(record.split_ms(), Some(110));
    }

    #[test]
    fn nobody_knows_how_long_a_split_lasts_that_did_not_end() {
        for outcome in [Outcome::Incomplete, Outcome::Superseded, Outcome::Held] {
            let mut record = record(Some(60));
            record.outcome = Some(outcome);
            assert_eq!(record.split_ms(), None, "{outcome:?}");
        }
        assert_eq!(record(None).split_ms(), None, "streams are not drained");
        let unplanned = Record {
            plan: None,
            ..record(None)
        };
        assert_eq!(unplanned.split_ms(), None);
    }

    #[test]
    fn where_nothing_moves_nothing_is_split() {
        let mut record = record(Some(0));
        (record.hold_ms, record.window_ms) = (Some(30), Some(0));
        assert_eq!(record.split_ms(), Some(0));
    }
}
