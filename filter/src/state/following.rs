//! What a VM does with its open streams.

use std::rc::Rc;
use std::time::Duration;

use sharding::Report;

use super::{Current, Vm};
use crate::drain::{Comes, Routed};
use crate::host::Host;

impl Vm {
    /// The request of that context is routed by its key.
    pub(crate) fn routed(&self, id: u32, routed: Routed) {
        let mut drain = self.drain.borrow_mut();
        drain.start(id, routed);
        self.open_streams.set(drain.open_streams().streams());
    }

    /// The `count` headers of its response came.
    pub(crate) fn answered(&self, id: u32, host: &impl Host, count: usize) {
        let mut drain = self.drain.borrow_mut();
        self.note(drain.answered(id, count, host, &self.metrics));
    }

    /// It is gone.
    pub(crate) fn ended(&self, id: u32) {
        let mut drain = self.drain.borrow_mut();
        drain.end_of(id);
        self.open_streams.set(drain.open_streams().streams());
    }

    /// A configuration has come into use, in a callback of the context `root`.
    pub(super) fn assigned(
        &self,
        host: &impl Host,
        root: u32,
        current: &Rc<Current>,
        comes: Comes,
    ) {
        // Without a clock an assignment counts all the same.
        let now = self.now(host);
        let now = now.unwrap_or_else(|| self.drain.borrow().now());
        self.drain.borrow_mut().assign(current, comes, now);
        self.as_ticking(host, root, |ticking| {
            let wait = self.round(host, ticking, now, true);
            if let Some(wait) = wait.filter(|wait| *wait < self.period.get()) {
                self.pace(host, wait);
            }
        });
    }

    /// What is to do now, as the root that ticks. Returns how soon there is more.
    pub(super) fn round(
        &self,
        host: &impl Host,
        root: u32,
        now: Duration,
        is_assigned: bool,
    ) -> Option<Duration> {
        let mut drain = self.drain.borrow_mut();
        let wait = drain.round(host, root, &self.metrics, now, is_assigned);
        self.open_streams.set(drain.open_streams().streams());
        let current = self.current.borrow();
        let report_to = current
            .as_ref()
            .and_then(|current| current.config.report_to.as_ref());
        if let Some(report_to) = report_to
            && let Some(step) = drain.step()
        {
            let report = || Report {
                refused: self.refused.get(),
                ..drain.report(step)
            };
            let mut reports = self.reports.borrow_mut();
            reports.tell(host, &self.metrics, report_to, (step, now), report);
        }
        wait
    }

    /// The control plane does not know the epoch in use, or it would not send a
    /// lower one.
    pub(super) fn tell_again(&self, host: &impl Host, root: u32) {
        self.reports.borrow_mut().forget();
        if let Some(now) = self.now(host) {
            self.as_ticking(host, root, |ticking| {
                self.round(host, ticking, now, false);
            });
        }
    }

    /// The time, if the host tells it.
    pub(super) fn now(&self, host: &impl Host) -> Option<Duration> {
        let now = host.monotonic_time();
        self.note(now.map(|_| ()));
        now.ok()
    }
}
