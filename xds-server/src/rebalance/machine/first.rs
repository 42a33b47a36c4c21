//! Whether a start without state was the first one.
//!
//! A state file can be lost, and nothing but the proxies then says that there was
//! an earlier process. So such a start releases nothing before somebody has come,
//! and when that one was told something before, it waits as any other restart.

use super::{Machine, Now, Underway};
use crate::rebalance::view::View;

impl Machine {
    /// Takes note of who is there, and of what it says of an earlier process.
    pub(super) fn meet(&mut self, view: &View, now: Now) {
        let shows_earlier = self.may_be_first() && self.shows_earlier(view);
        if shows_earlier {
            self.may_be_first = false;
            self.alone_until = Some(now.instant + self.settings.return_wait);
        }
        let awaits_first = self.awaits_first();
        let Some(underway) = &mut self.underway else {
            return;
        };
        if awaits_first {
            // Its wait begins with the first proxy.
            underway.deadline = now.instant + self.settings.ack_wait;
        }
        if let Some(until) = self.alone_until.filter(|_| shows_earlier) {
            underway.deadline = underway.deadline.max(until);
        }
        underway.notice(view);
    }

    /// Whether it holds for nobody: it is not known yet who would be there.
    pub(super) fn awaits_first(&self) -> bool {
        let underway = self.underway.as_ref();
        self.may_be_first() && underway.is_some_and(Underway::has_met_nobody)
    }

    /// Whether there is a release for which it matters.
    fn may_be_first(&self) -> bool {
        self.may_be_first && self.settings.pace.is_some()
    }

    /// Whether somebody has what this process has not given.
    fn shows_earlier(&self, view: &View) -> bool {
        let current = self.current.as_ref().map(|current| current.epoch);
        let is_given = |epoch| {
            let past = self.past.iter().map(|past| past.epoch);
            past.chain(current).any(|given| given == epoch)
        };
        view.proxies.iter().any(|proxy| proxy.is_back)
            || view.vms.iter().any(|vm| !is_given(vm.epoch))
    }
}
