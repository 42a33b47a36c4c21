//! A change that settles, or waits for the rebalance under way.

use std::time::{Duration, Instant};

use sharding::Roster;

use super::Settings;

/// A roster that is not published yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// The newest.
    pub(super) roster: Roster,
    /// When the first change came.
    first: Instant,
    /// When the latest came.
    last: Instant,
    /// Whether it cannot wait: a member is lost.
    pub(super) is_urgent: bool,
}

impl Pending {
    pub(super) fn new(roster: Roster, now: Instant) -> Self {
        Self {
            roster,
            first: now,
            last: now,
            is_urgent: false,
        }
    }

    /// Takes a newer roster; the same one again is no change.
    pub(super) fn merge(&mut self, roster: Roster, now: Instant) {
        if self.roster != roster {
            self.roster = roster;
            self.last = now;
        }
    }

    /// When it counts.
    pub(super) fn due(&self, settings: &Settings) -> Instant {
        let quiet = self.last + settings.settle;
        quiet.min(self.first + settings.settle_max)
    }

    /// How long it has waited.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.first)
    }
}
