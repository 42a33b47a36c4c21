//! The rebalance under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Now, ms};
use crate::rebalance::change::Change;
use crate::rebalance::record::{Outcome, Record};
use crate::rebalance::view::{Behind, Goal, View};

/// Nodes that are remembered to be missed when they leave, and proxies that a
/// record names: beyond, they are as good as countless.
const MAX_SEEN: usize = 10_000;
const MAX_NAMED: usize = 1000;

/// From the first publication of an epoch to the end.
#[derive(Debug)]
pub(super) struct Underway {
    pub(super) record: Record,
    /// All nodes that were connected since it began.
    seen: BTreeSet<Arc<str>>,
    /// What [`View::drained`] was then; known from the first look on.
    drained_before: Option<u64>,
    pub(super) draining: bool,
    /// Whether it is for a member that is lost.
    pub(super) is_urgent: bool,
    since: Instant,
    /// When its wait ends.
    pub(super) deadline: Instant,
}

impl Underway {
    /// One that starts to hold.
    pub(super) fn new(
        epoch: u64,
        changes: Vec<Change>,
        settled: Duration,
        now: Now,
        deadline: Instant,
    ) -> Self {
        let record = Record {
            epoch,
            started_unix_ms: now.unix_ms,
            changes,
            settle_ms: ms(settled),
            hold_ms: None,
            drain_ms: None,
            window_ms: None,
            plan: None,
            drained: 0,
            outcome: None,
            left_behind: Vec::new(),
            missing: Vec::new(),
        };
        Self {
            record,
            seen: BTreeSet::new(),
            drained_before: None,
            draining: false,
            is_urgent: false,
            since: now.instant,
            deadline,
        }
    }

    /// Takes note of who is there.
    pub(super) fn notice(&mut self, view: &View) {
        for proxy in &view.proxies {
            if self.seen.len() < MAX_SEEN && !self.seen.contains(&proxy.node) {
                self.seen.insert(Arc::clone(&proxy.node));
            }
        }
        self.drained_before.get_or_insert(view.drained);
    }

    /// Whether nobody was there since it began.
    pub(super) fn has_met_nobody(&self) -> bool {
        self.seen.is_empty()
    }

    /// Who has not reached what it waits for.
    pub(super) fn behind(&self, view: &View) -> Vec<Behind> {
        let goal = if self.draining {
            Goal::Drained
        } else {
            Goal::Routes
        };
        view.behind(self.record.epoch, goal, &self.seen)
    }

    /// Goes from holding to draining.
    pub(super) fn release(&mut self, window_ms: u64, finish_wait: Duration, now: Now) {
        self.record.hold_ms = Some(self.passed_ms(now.instant));
        self.record.window_ms = Some(window_ms);
        self.draining = true;
        self.since = now.instant;
        self.deadline = now.instant + Duration::from_millis(window_ms) + finish_wait;
    }

    /// The record as of now.
    pub(super) fn record(&self, view: &View, now: Instant) -> Record {
        let mut record = self.record.clone();
        let passed = Some(self.passed_ms(now));
        if self.draining {
            record.drain_ms = passed;
        } else {
            record.hold_ms = passed;
        }
        let before = self.drained_before.unwrap_or(view.drained);
        record.drained = view.drained.saturating_sub(before);
        record
    }

    /// The record for ever.
    pub(super) fn end(mut self, outcome: Outcome, view: &View, now: Instant) -> Record {
        self.record.missing.truncate(MAX_NAMED);
        self.record.left_behind.truncate(MAX_NAMED);
        let mut record = self.record(view, now);
        record.outcome = Some(outcome);
        record
    }

    fn passed_ms(&self, now: Instant) -> u64 {
        ms(now.saturating_duration_since(self.since))
    }
}
