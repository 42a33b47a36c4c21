//! What the machine hands out, and how a rebalance begins and ends.

use std::time::Duration;

use sharding::Drain;

use super::{Effect, Machine, Now, Pace, Past, Pending, Underway};
use crate::rebalance::change::{Cause, Change, changes};
use crate::rebalance::next;
use crate::rebalance::record::Outcome;
use crate::rebalance::view::View;

/// Past assignments that are remembered, to know whose caches may be stale.
const MAX_PAST: usize = 16;

/// How far a reported epoch may be ahead of the clock to be believed: epochs are
/// times in milliseconds, and one report must not use all of them up.
const MAX_AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

impl Machine {
    /// Takes over a higher epoch that proxies already have, if they do: filters
    /// ignore what comes with a lower one.
    pub(super) fn catch_up(&mut self, view: &View, now: Now, effects: &mut Vec<Effect>) -> bool {
        let Some(current) = &self.current else {
            return false;
        };
        let believable = now.unix_ms.saturating_add(MAX_AHEAD_MS);
        let epochs = view.vms.iter().map(|vm| vm.epoch);
        let ahead = epochs.filter(|epoch| (current.epoch..=believable).contains(epoch));
        let ahead = ahead.filter(|epoch| *epoch > current.epoch);
        let (Some(ahead), Some(members)) = (ahead.max(), current.members.clone()) else {
            return false;
        };
        self.end(Outcome::Superseded, view, now, effects);
        let pending = self.pending.take();
        let pending = pending.unwrap_or_else(|| Pending::new(members, now.instant));
        self.publish(pending, ahead, now, effects);
        true
    }

    pub(super) fn publish_pending(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Some(pending) = self.pending.take() {
            self.publish(pending, 0, now, effects);
        }
    }

    /// Publishes a roster under an epoch above `above` and all before.
    fn publish(&mut self, pending: Pending, above: u64, now: Now, effects: &mut Vec<Effect>) {
        let before = self.current.take();
        let settled = pending.waited(now.instant);
        let mut config = next(before.as_ref(), pending.roster, &self.template, now.unix_ms);
        let mut changes = changes(before.as_ref(), &config);
        if above > 0 {
            changes.push(Change::of(Cause::Outdated));
            config.epoch = config.epoch.max(above.saturating_add(1));
        }
        if let Some(past) = before.and_then(Past::of) {
            self.past.push_back(past);
            while self.past.len() > MAX_PAST {
                self.past.pop_front();
            }
        }
        self.hold(config.epoch, changes, settled, now);
        if let Some(underway) = &mut self.underway {
            underway.is_urgent = pending.is_urgent;
        }
        self.current = Some(config.clone());
        effects.extend([Effect::Publish(Box::new(config)), Effect::Plan]);
    }

    pub(super) fn release(
        &mut self,
        pace: Pace,
        covered: bool,
        view: &View,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(underway), Some(current)) = (&mut self.underway, &mut self.current) else {
            return;
        };
        let planned = underway.record.plan.map_or(0, |plan| plan.streams);
        // Those who route by the new assignment know better than the plan.
        let streams = view.misplaced().max(if covered { 0 } else { planned });
        // Nobody serves the streams of a member that is lost.
        let window_ms = if underway.is_urgent {
            0
        } else {
            pace.window_ms(streams)
        };
        self.may_be_first = false;
        underway.release(window_ms, self.settings.finish_wait, now);
        current.drain = Drain::Release { window_ms };
        effects.push(Effect::Publish(Box::new(current.clone())));
    }

    pub(super) fn hold(&mut self, epoch: u64, changes: Vec<Change>, settled: Duration, now: Now) {
        let ack_by = now.instant + self.settings.ack_wait;
        let deadline = self.alone_until.map_or(ack_by, |until| until.max(ack_by));
        self.underway = Some(Underway::new(epoch, changes, settled, now, deadline));
    }

    pub(super) fn end(
        &mut self,
        outcome: Outcome,
        view: &View,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(underway) = self.underway.take() {
            let record = underway.end(outcome, view, now.instant);
            effects.push(Effect::Finished(Box::new(record)));
        }
    }
}
