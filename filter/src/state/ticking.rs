//! The tick of a VM.
//!
//! One root context has it: that of the VM's first request, for as long as the
//! VM lives. Envoy makes a timer for each context that ever asked for a tick
//! and keeps it with the VM, whatever becomes of the context (read in its
//! `wasm.cc`, `setTimerPeriod`), and each configuration is a new context. So
//! the root that ticks puts its end off until the last of the others has
//! ended, which the ABI provides for (`proxy_on_done`, `proxy_done`), and acts
//! for whatever configuration is in use.
//!
//! A VM without requests has nothing to do and no timer: that of the main
//! thread.

use std::time::Duration;

use super::Vm;
use crate::host::Host;
use crate::stream;

/// How often counters reach the host, requests are looked at that wait, and
/// streams are compared with the assignment.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Least time between two looks for a newer configuration. Less than a slow
/// tick, whose timer is not exact.
const LOOK_EVERY: Duration = Duration::from_millis(900);

/// [`TICK`] while requests that wait were left undone.
const QUICK_TICK: Duration = Duration::from_millis(10);

impl Vm {
    /// The tick of the root context that has it.
    pub fn tick(&self, host: &impl Host, root: u32) {
        let refused = stream::refuse_overdue(self, host, root);
        self.note(refused.map(|_| ()));
        let is_quick = refused.unwrap_or(false);
        let mut wait = if is_quick { QUICK_TICK } else { TICK };
        // In key-only mode nothing is drained, and nobody needs the time.
        let drains = self
            .current()
            .is_some_and(|current| current.assignment.is_some());
        if drains && let Some(now) = self.now(host) {
            if self.is_look_due(now) {
                self.follow(host, root);
            }
            wait = wait.min(self.round(host, root, now, false).unwrap_or(TICK));
        }
        self.pace(host, wait);
        self.note(self.metrics.flush(host));
    }

    /// Whether it is time to look for a newer configuration than one's own:
    /// about once a slow tick, however quick the ticks are.
    fn is_look_due(&self, now: Duration) -> bool {
        let last = self.looked.get();
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= LOOK_EVERY);
        if is_due {
            self.looked.set(Some(now));
        }
        is_due
    }

    /// A root context is configured.
    pub(super) fn begin(&self, root: u32) {
        self.roots.borrow_mut().insert(root);
    }

    /// A request comes by that root, and is the context at hand: the first lets
    /// the root tick.
    pub(crate) fn wake(&self, host: &impl Host, root: u32) {
        if self.ticking.get().is_some() {
            return;
        }
        self.ticking.set(Some(root));
        self.pace(host, TICK);
        if let Some(now) = self.now(host) {
            self.drain.borrow_mut().wake(now);
        }
    }

    /// The root at hand, which is the one that ticks, does so that often.
    pub(super) fn pace(&self, host: &impl Host, period: Duration) {
        if self.period.replace(period) != period {
            self.note(host.set_tick_period(period));
        }
    }

    /// Acts as the root that ticks, in a callback of the root `own`; does
    /// nothing where none ticks.
    pub(super) fn as_ticking(&self, host: &impl Host, own: u32, act: impl FnOnce(u32)) {
        if let Some(ticking) = self.ticking.get() {
            self.note(host.within(ticking, own, || act(ticking)));
        }
    }

    /// The end of a root context. Returns whether Envoy may delete it now.
    pub fn done(&self, host: &impl Host, root: u32) -> bool {
        self.roots.borrow_mut().remove(&root);
        if !self.roots.borrow().is_empty() {
            return self.ticking.get() != Some(root);
        }
        // Nothing holds the VM any more.
        self.as_ticking(host, root, |ticking| {
            self.pace(host, Duration::ZERO);
            if ticking != root {
                self.note(host.done());
            }
        });
        self.ticking.set(None);
        self.metrics.gauges.clear();
        self.note(self.metrics.flush(host));
        true
    }
}
