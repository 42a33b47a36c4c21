//! One member.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sharding::Member;

use crate::health::kept::Gone;

mod comeback;

use comeback::Flaps;
pub(super) use comeback::Return;

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
            self.forget_checks();
        }
        self.listed = member.clone();
        if !has_checks {
            self.follow_registry();
        }
    }

    /// What was found so far says nothing of now.
    pub(super) fn forget_checks(&mut self) {
        (self.failures, self.passes, self.passing_since) = (0, 0, None);
        (self.problem, self.is_fresh) = (None, false);
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
                self.follow_registry();
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
            health_port: None,
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
        // Checks that pass all the same tell nothing of before.
        self.passing_since = self.passing_since.map(|_| now);
        self.standing = Standing::Ejected {
            then: self.as_gone(why, true),
            is_readmitted: false,
        };
    }

    /// It is let in, or held to be ejected if it went and came back in the same
    /// incarnation: its caches are of then.
    pub(super) fn enter(&mut self) -> bool {
        if let Standing::Awaited {
            before: Some(before),
        } = &mut self.standing
        {
            let now = self.listed.incarnation.as_ref().or(self.scraped.as_ref());
            let is_there = before.address == self.listed.address;
            // One that is not known now may be the same.
            let is_other = now.is_some() && before.incarnation.as_ref() != now;
            if is_there && before.incarnation.is_some() && !is_other {
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

    /// If it serves, it does so where the registry has it.
    pub(super) fn follow_registry(&mut self) {
        if let Standing::Serving { at } = &mut self.standing {
            *at = self.listed.address;
        }
    }

    /// It serves again.
    pub(super) fn return_to_service(&mut self) {
        self.standing = Standing::Serving {
            at: self.listed.address,
        };
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
