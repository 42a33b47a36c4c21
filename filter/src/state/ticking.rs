//! The tick of a VM: one root context has it, and hands it on when it ends.

use std::time::Duration;

use super::Vm;
use crate::host::Host;
use crate::stream;

/// How often counters reach the host, requests are looked at that wait, and
/// streams are compared with the assignment.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// The same while requests that wait were left undone.
const QUICK_TICK: Duration = Duration::from_millis(10);

impl Vm {
    /// The tick of a root context.
    pub fn tick(&self, host: &impl Host, root: u32) {
        if self.ticking.get() != Some(root) {
            self.note(host.set_tick_period(Duration::ZERO));
            return;
        }
        let refused = stream::refuse_overdue(self, host, root);
        self.note(refused.map(|_| ()));
        let is_quick = refused.unwrap_or(false);
        let mut wait = if is_quick { QUICK_TICK } else { TICK };
        // In key-only mode nothing is drained, and nobody needs the time.
        let drains = self
            .current()
            .is_some_and(|current| current.assignment.is_some());
        if drains && let Some(now) = self.now(host) {
            if self.period.get() == TICK {
                self.follow(host, root);
            }
            wait = wait.min(self.round(host, root, now, false).unwrap_or(TICK));
        }
        self.pace(host, wait);
        self.note(self.metrics.flush(host));
    }

    /// The end of a root context.
    pub fn done(&self, host: &impl Host, root: u32) {
        // Envoy would go on with the timer of a root that is gone.
        self.note(host.set_tick_period(Duration::ZERO));
        self.roots.borrow_mut().retain(|other| *other != root);
        if self.ticking.get() != Some(root) {
            return;
        }
        self.ticking.set(None);
        self.hand_on(host, root);
        if self.ticking.get().is_none() {
            self.period.set(Duration::ZERO);
            self.metrics.gauges.clear();
        }
        self.note(self.metrics.flush(host));
    }

    /// Older roots may have streams for long yet: those of a VM of an older
    /// module, which gets no new root.
    fn hand_on(&self, host: &impl Host, from: u32) {
        let heir = self.roots.borrow().last().copied();
        if let Some(heir) = heir {
            self.note(host.within(heir, from, || self.tick_with(host, heir)));
        }
    }

    /// A root context that is configured ticks from then on.
    pub(super) fn begin(&self, host: &impl Host, root: u32) {
        let mut roots = self.roots.borrow_mut();
        roots.retain(|other| *other != root);
        roots.push(root);
        self.tick_with(host, root);
    }

    /// Lets counters flow while no root ticks: the newest is gone, and Envoy went
    /// back to an older one, which it does without configuring it.
    pub(crate) fn keep_ticking(&self, host: &impl Host, root: u32) {
        if self.ticking.get().is_none() {
            self.begin(host, root);
        }
    }

    /// As soon as the root before it would have: something may be due.
    fn tick_with(&self, host: &impl Host, root: u32) {
        if self.period.get().is_zero() {
            self.period.set(TICK);
        }
        self.note(host.set_tick_period(self.period.get()));
        self.ticking.set(Some(root));
    }

    /// Lets the root at hand, which is the one that ticks, do so that often.
    pub(super) fn pace(&self, host: &impl Host, period: Duration) {
        if self.period.replace(period) != period {
            self.note(host.set_tick_period(period));
        }
    }
}
