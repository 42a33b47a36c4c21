//! Who holds which lease: pure, with the time as it is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sharding::{Member, Roster, RosterError};
use thiserror::Error;

use crate::lease::Times;
use crate::registry::doubt::{Doubt, Heard};

/// Longest time between two looks at the clock in which leases run. What was
/// longer was a time without this process: it was stopped, or its machine was,
/// and could hear of nobody.
pub(super) const LOOKING: Duration = Duration::from_secs(1);

/// Members by their leases.
///
/// Tokens only grow. Whoever acquires a lease gets a new one, and the token of
/// whoever had it before is stale from then on.
#[derive(Debug)]
pub(super) struct Book {
    leases: BTreeMap<String, Lease>,
    last_token: u64,
    looked_at: Instant,
    doubt: Doubt,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lease {
    pub(super) member: Member,
    pub(super) ttl: Duration,
    pub(super) token: u64,
    /// Without another renewal.
    pub(super) expires: Instant,
}

/// Members whose time is over, by id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Over {
    /// They have no lease any more.
    pub(super) gone: Vec<String>,
    /// They still have one: too many are not heard of at once.
    pub(super) kept: Vec<String>,
}

/// Why a lease is not given, kept or returned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// No such lease, or no longer.
    #[error("no lease of {id:?}: acquire it")]
    Unknown {
        /// Whose.
        id: String,
    },
    /// Somebody else has acquired it since.
    #[error(
        "token {token} for the lease of {id:?} is stale: it was acquired again, with token {current}"
    )]
    Stale {
        /// Whose.
        id: String,
        /// The token that was shown.
        token: u64,
        /// The one that counts.
        current: u64,
    },
    /// Not a member, or one too many.
    #[error(transparent)]
    Member(#[from] RosterError),
}

/// What acquiring a lease changes, to be kept before it counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Acquired {
    pub(super) lease: Lease,
    /// Whoever had its address, under another id: they cannot both be there.
    pub(super) ousted: Option<String>,
}

impl Book {
    /// A book of leases that were held when it was closed, wherever their time
    /// stood: all of it begins anew, since nobody knows how long that was.
    pub(super) fn open(
        leases: impl IntoIterator<Item = (Member, Duration, u64)>,
        last_token: u64,
        now: Instant,
    ) -> Self {
        let lease = |(member, ttl, token): (Member, Duration, u64)| {
            let expires = now + ttl;
            (
                member.id.clone(),
                Lease {
                    member,
                    ttl,
                    token,
                    expires,
                },
            )
        };
        let leases: BTreeMap<_, _> = leases.into_iter().map(lease).collect();
        let highest = leases.values().map(|lease| lease.token).max();
        Self {
            last_token: last_token.max(highest.unwrap_or_default()),
            leases,
            looked_at: now,
            doubt: Doubt::default(),
        }
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values()
    }

    /// All who hold a lease.
    pub(super) fn roster(&self) -> Result<Roster, RosterError> {
        Roster::new(self.leases().map(|lease| lease.member.clone()).collect())
    }

    /// What it would change that somebody acquires a lease, of a member that is
    /// there already or not. The token is at least `at_least`.
    pub(super) fn acquire(
        &self,
        mut member: Member,
        ttl: Duration,
        at_least: u64,
        now: Instant,
    ) -> Result<Acquired, LeaseError> {
        // As a roster has it, so that one address has one spelling.
        let ip = member.address.ip().to_canonical();
        member.address.set_ip(ip);
        let mut ousted = None;
        let mut all = vec![member.clone()];
        for other in self.leases().map(|lease| &lease.member) {
            if other.id == member.id {
                continue;
            }
            if other.address == member.address {
                ousted = Some(other.id.clone());
            } else {
                all.push(other.clone());
            }
        }
        Roster::new(all)?;
        Ok(Acquired {
            ousted,
            lease: Lease {
                member,
                ttl,
                token: (self.last_token + 1).max(at_least),
                expires: now + ttl,
            },
        })
    }

    /// From now on it counts.
    pub(super) fn enter(&mut self, acquired: Acquired) {
        let Acquired { lease, ousted } = acquired;
        if let Some(ousted) = ousted {
            self.leases.remove(&ousted);
        }
        self.last_token = lease.token;
        self.leases.insert(lease.member.id.clone(), lease);
    }

    /// Another whole time for whoever has it.
    pub(super) fn renew(&mut self, id: &str, token: u64, now: Instant) -> Result<(), LeaseError> {
        let lease = self.held(id, token)?;
        lease.expires = now + lease.ttl;
        Ok(())
    }

    /// Whoever has it returns it.
    pub(super) fn release(&mut self, id: &str, token: u64) -> Result<(), LeaseError> {
        self.held(id, token)?;
        self.leases.remove(id);
        Ok(())
    }

    fn held(&mut self, id: &str, token: u64) -> Result<&mut Lease, LeaseError> {
        let unknown = || LeaseError::Unknown { id: id.to_owned() };
        let lease = self.leases.get_mut(id).ok_or_else(unknown)?;
        if lease.token == token {
            return Ok(lease);
        }
        Err(LeaseError::Stale {
            id: id.to_owned(),
            token,
            current: lease.token,
        })
    }

    /// Takes out whose time is over, unless too many are late at once: then
    /// whoever is heard of gives all others a whole time to be, too. To be asked
    /// each [`LOOKING`], or what is longer does not count.
    pub(super) fn expire(&mut self, now: Instant) -> Over {
        let passed = now.saturating_duration_since(self.looked_at);
        let absent = passed.saturating_sub(2 * LOOKING);
        self.looked_at = self.looked_at.max(now);
        for lease in self.leases.values_mut() {
            lease.expires += absent;
        }
        self.doubt.skip(absent);
        let over: Vec<_> = self.leases().filter(|lease| lease.is_over(now)).collect();
        let heard = Heard {
            all: self.leases.len(),
            late: self.leases().filter(|lease| lease.is_late(now)).count(),
            silent: over.len(),
        };
        let whole = over.iter().map(|lease| lease.ttl).max().unwrap_or_default();
        let ids = over.iter().map(|lease| lease.member.id.clone()).collect();
        if self.doubt.keeps(heard, whole, now) {
            return Over {
                gone: Vec::new(),
                kept: ids,
            };
        }
        self.leases.retain(|_, lease| !lease.is_over(now));
        Over {
            gone: ids,
            kept: Vec::new(),
        }
    }
}

impl Lease {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.expires <= now
    }

    /// Whether it should have been renewed, and that is not only a renewal that
    /// was lost.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        let left = self.expires.saturating_duration_since(now);
        self.ttl.saturating_sub(left) > Times::of(self.ttl).soft
    }
}

#[cfg(test)]
mod tests;
