//! When a member comes back that was ejected.

use std::time::{Duration, Instant};

use super::{Standing, Ward};
use crate::config::{Damping, Health as Rules, Readmit};

/// Wait for a member without a known incarnation, unless it is configured.
const READMIT_AFTER: Duration = Duration::from_secs(30);

/// How often it was ejected lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flaps {
    pub(super) count: u32,
    pub(super) last: Option<Instant>,
}

/// Whether a member that was ejected comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::health::judge) enum Return {
    /// Now, and why.
    Now(&'static str),
    /// Then, if it passes its checks until then.
    At(Instant),
    /// Not as things are; what it waits for.
    Waits(&'static str),
}

impl Flaps {
    pub(super) fn one_more(&mut self, memory: Duration, now: Instant) {
        let is_recent = |last| now.saturating_duration_since(last) < memory;
        let before = if self.last.is_some_and(is_recent) {
            self.count
        } else {
            0
        };
        *self = Self {
            count: before.saturating_add(1),
            last: Some(now),
        };
    }

    /// What it has to wait for having come and gone.
    fn wait(self, damping: &Damping) -> Duration {
        let Some(doublings) = self.count.checked_sub(2) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.saturating_pow(doublings);
        damping.first.saturating_mul(factor).min(damping.longest)
    }
}

impl Ward {
    /// Whether it comes back, if it was ejected and passes its checks.
    pub(in crate::health::judge) fn may_return(&self, rules: &Rules) -> Option<Return> {
        let Standing::Ejected {
            then,
            is_readmitted,
        } = &self.standing
        else {
            return None;
        };
        let Some(since) = self
            .passing_since
            .filter(|_| self.passes >= rules.pass_after)
        else {
            return Some(Return::Waits("does not pass its checks"));
        };
        if *is_readmitted {
            return Some(Return::Now("by order"));
        }
        let both = then.incarnation.as_ref().zip(self.incarnation());
        let is_new =
            both.is_some_and(|(then, now)| then != now) || then.address != self.listed.address;
        let policy = rules.readmit.unwrap_or(match then.incarnation {
            Some(_) => Readmit::NewIncarnation,
            None => Readmit::After(READMIT_AFTER),
        });
        let wait = match policy {
            Readmit::Manual => return Some(Return::Waits("waits for a person")),
            _ if is_new => Duration::ZERO,
            Readmit::NewIncarnation => {
                return Some(Return::Waits(
                    "waits for another incarnation, or for a person",
                ));
            }
            Readmit::After(wait) => wait,
        };
        Some(Return::At(since + wait + self.flaps.wait(&rules.damping)))
    }
}
