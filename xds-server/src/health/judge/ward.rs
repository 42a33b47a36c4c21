//! One member.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sharding::Member;

use crate::config::{Damping, Health as Rules, Readmit};
use crate::health::kept::Gone;

/// Wait for a member without a known incarnation, unless it is configured.
const READMIT_AFTER: Duration = Duration::from_secs(30);

/// What is known of a member.
#[derive(Debug)]
pub(super) struct Ward {
    /// As the registry has it.
    pub(super) listed: Member,
    pub(super) standing: Standing,
    /// Which run of the server it is, by the last check that found out.
    scraped: Option<String>,
    /// Whether that was found out since the last failure.
    is_fresh: bool,
    /// Checks in a row, up to the last one.
    pub(super) failures: u32,
    pub(super) passes: u32,
    /// Since when they pass.
    passing_since: Option<Instant>,
    /// Why the last one did not.
    pub(super) problem: Option<String>,
    flaps: Flaps,
}

/// Where it is on its way.
#[derive(Debug)]
pub(super) enum Standing {
    /// It has not passed its checks yet. `before` tells of it when it left the
    /// registry.
    Awaited { before: Option<Gone> },
    /// It is in the roster, at that address.
    Serving { at: SocketAddr },
    /// It is not, since it failed.
    Ejected {
        /// What it was then.
        then: Gone,
        /// Whether a person lets it back.
        is_readmitted: bool,
    },
}

/// How often it was ejected lately.
#[derive(Debug, Clone, Copy, Default)]
struct Flaps {
    count: u32,
    last: Option<Instant>,
}

/// Whether a member that was ejected comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// Now, and why.
    Now(&'static str),
    /// Then, if it passes its checks until then.
    At(Instant),
    /// Not as things are; what it waits for.
    Waits(&'static str),
}

impl Flaps {
    fn one_more(&mut self, memory: Duration, now: Instant) {
        let is_recent = |last| now.saturating_duration_since(last) < memory;
        let before = if self.last.is_some_and(is_recent) { self.count } else { 0 };
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
    fn new(listed: &Member, standing: Standing) -> Self {
        Self {
            listed: listed.clone(),
            standing,
            scraped: None,
            is_fresh: false,
            failures: 0,
            passes: 0,
            passing_since: None,
            problem: None,
            flaps: Flaps::default(),
        }
    }

    /// One that nothing is known of.
    pub(super) fn awaited(listed: &Member) -> Self {
        Self::new(listed, Standing::Awaited { before: None })
    }

    /// One that serves from the start.
    pub(super) fn serving(listed: &Member, at: SocketAddr) -> Self {
        Self::new(listed, Standing::Serving { at })
    }

    /// One that served when the last process ended.
    pub(super) fn restored(listed: &Member, last: Member) -> Self {
        Self {
            scraped: last.incarnation,
            ..Self::serving(listed, last.address)
        }
    }

    /// One that was away, or ejected when the last process ended.
    pub(super) fn returning(listed: &Member, gone: Gone, now: Instant) -> Self {
        let flaps = Flaps {
            count: gone.ejections,
            last: Some(now),
        };
        let standing = if gone.is_ejected {
            Standing::Ejected {
                then: gone,
                is_readmitted: false,
            }
        } else {
            Standing::Awaited { before: Some(gone) }
        };
        Self {
            flaps,
            ..Self::new(listed, standing)
        }
    }

    /// The registry has it so now.
    pub(super) fn listed(&mut self, member: &Member, has_checks: bool) {
        if self.listed.address != member.address {
            (self.failures, self.passes, self.passing_since) = (0, 0, None);
            (self.problem, self.is_fresh) = (None, false);
        }
        self.listed = member.clone();
        if let Standing::Serving { at } = &mut self.standing
            && !has_checks
        {
            *at = member.address;
        }
    }

    /// Takes in a check. Returns whether anything can follow from it.
    pub(super) fn checked(&mut self, result: Result<Option<String>, String>, now: Instant) -> bool {
        let was_well = self.passes > 0 && self.serves().is_some();
        let before = self.incarnation().cloned();
        match result {
            Ok(incarnation) => {
                self.failures = 0;
                self.passes = self.passes.saturating_add(1);
                self.passing_since.get_or_insert(now);
                self.problem = None;
                if incarnation.is_some() {
                    self.is_fresh = true;
                    self.scraped = incarnation;
                }
                if let Standing::Serving { at } = &mut self.standing {
                    *at = self.listed.address;
                }
                !was_well || self.incarnation() != before.as_ref()
            }
            Err(problem) => {
                self.failures = self.failures.saturating_add(1);
                self.passes = 0;
                self.passing_since = None;
                self.problem = Some(problem);
                self.is_fresh = false;
                true
            }
        }
    }

    /// Whether the next check had better find out which run of it this is.
    pub(super) fn wants_incarnation(&self) -> bool {
        self.listed.incarnation.is_none() && !self.is_fresh
    }

    pub(super) fn has_been_checked(&self) -> bool {
        self.failures > 0 || self.passes > 0
    }

    pub(super) fn incarnation(&self) -> Option<&String> {
        self.listed.incarnation.as_ref().or(self.scraped.as_ref())
    }

    /// As it is in the roster, if it is.
    pub(super) fn serves(&self) -> Option<Member> {
        let Standing::Serving { at } = self.standing else {
            return None;
        };
        Some(Member {
            address: at,
            incarnation: self.incarnation().cloned(),
            ..self.listed.clone()
        })
    }

    pub(super) fn is_ejected(&self) -> bool {
        matches!(self.standing, Standing::Ejected { .. })
    }

    /// A person wants it back; `false` if it was not ejected.
    pub(super) fn readmit(&mut self) -> bool {
        match &mut self.standing {
            Standing::Ejected { is_readmitted, .. } => {
                *is_readmitted = true;
                self.flaps = Flaps::default();
                true
            }
            _ => false,
        }
    }

    /// It may be down after a maintenance: then it is awaited.
    pub(super) fn undrained(&mut self) {
        if self.failures > 0 && matches!(self.standing, Standing::Serving { .. }) {
            self.standing = Standing::Awaited { before: None };
        }
    }

    /// It leaves the roster.
    pub(super) fn eject(&mut self, why: String, memory: Duration, now: Instant) {
        self.flaps.one_more(memory, now);
        self.standing = Standing::Ejected {
            then: self.as_gone(why, true),
            is_readmitted: false,
        };
    }

    /// It is let in, or held to be ejected if it went and came back in the same
    /// incarnation: its caches are of then.
    pub(super) fn enter(&mut self) -> bool {
        if let Standing::Awaited { before: Some(before) } = &mut self.standing {
            let now = self.listed.incarnation.as_ref().or(self.scraped.as_ref());
            if before.incarnation.is_some() && before.incarnation.as_ref() == now {
                let then = Gone {
                    is_ejected: true,
                    why: "it came back in the incarnation in which it had left".to_owned(),
                    ..before.clone()
                };
                self.standing = Standing::Ejected {
                    then,
                    is_readmitted: false,
                };
                return false;
            }
        }
        self.return_to_service();
        true
    }

    /// It serves again.
    pub(super) fn return_to_service(&mut self) {
        self.standing = Standing::Serving {
            at: self.listed.address,
        };
    }

    /// Whether it comes back, if it was ejected and passes its checks.
    pub(super) fn may_return(&self, rules: &Rules) -> Option<Return> {
        let Standing::Ejected { then, is_readmitted } = &self.standing else {
            return None;
        };
        let Some(since) = self.passing_since.filter(|_| self.passes >= rules.pass_after) else {
            return Some(Return::Waits("does not pass its checks"));
        };
        if *is_readmitted {
            return Some(Return::Now("by order"));
        }
        let both = then.incarnation.as_ref().zip(self.incarnation());
        let is_new = both.is_some_and(|(then, now)| then != now)
            || then.address != self.listed.address;
        let policy = rules.readmit.unwrap_or(match then.incarnation {
            Some(_) => Readmit::NewIncarnation,
            None => Readmit::After(READMIT_AFTER),
        });
        let wait = match policy {
            Readmit::Manual => return Some(Return::Waits("waits for a person")),
            _ if is_new => Duration::ZERO,
            Readmit::NewIncarnation => {
                return Some(Return::Waits("waits for another incarnation, or for a person"));
            }
            Readmit::After(wait) => wait,
        };
        Some(Return::At(since + wait + self.flaps.wait(&rules.damping)))
    }

    /// What to remember of it, if it was ever in the roster.
    pub(super) fn gone(&self) -> Option<Gone> {
        match &self.standing {
            Standing::Awaited { before } => before.clone(),
            Standing::Serving { .. } => Some(self.as_gone(String::new(), false)),
            Standing::Ejected { then, .. } => Some(Gone {
                ejections: self.flaps.count,
                ..then.clone()
            }),
        }
    }

    fn as_gone(&self, why: String, is_ejected: bool) -> Gone {
        let at = match self.standing {
            Standing::Serving { at } => at,
            _ => self.listed.address,
        };
        Gone {
            incarnation: self.incarnation().cloned(),
            address: at,
            why,
            ejections: self.flaps.count,
            is_ejected,
        }
    }
}
