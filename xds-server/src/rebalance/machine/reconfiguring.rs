//! Other settings while it runs.

use std::time::Duration;

use sharding::{Drain, FilterConfig};

use super::{Machine, Now, Pending, Settings};
use crate::rebalance::change::{Cause, Change};

impl Machine {
    /// Goes by these from now on. Returns whether there is something to publish
    /// for them.
    pub(super) fn reconfigure(
        &mut self,
        settings: Settings,
        template: FilterConfig,
        now: Now,
    ) -> bool {
        (self.settings, self.template) = (settings, template);
        let Some((epoch, drain, members)) = self.current.as_ref().and_then(|current| {
            let members = current.members.clone()?;
            Some((current.epoch, current.drain, members))
        }) else {
            return false;
        };
        let is_other = self.differs(&members);
        if is_other && self.pending.is_none() {
            self.pending = Some(Pending::new(members, now.instant));
        }
        let may_drain_now = self.settings.pace.is_some() && drain == Drain::Hold;
        if !is_other && may_drain_now && self.underway.is_none() {
            let changes = vec![Change::of(Cause::Settings)];
            self.hold(epoch, changes, Duration::ZERO, now);
        }
        is_other
    }
}
