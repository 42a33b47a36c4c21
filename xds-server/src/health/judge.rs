//! Who serves, as a state machine.
//!
//! Pure: it is told what the registry lists, how checks go, what proxies see
//! and what a person orders, and the time; and says who is in the roster.
//!
//! ```text
//! awaited ──first success──▶ serving ──fails, says the quorum──▶ ejected ──readmitted──▶ serving
//! ```
//!
//! What it decides, it decides anew each time from all that is known
//! ([`Judge::decide`]); of the past it keeps what cannot be found out again:
//! who was ejected, in which incarnation, and how often.
//!
//! - A member of the last assignment serves from the start, until it fails: a
//!   restart takes nobody out.
//! - One that has another address now serves at its old one until it passes a
//!   check at the new one, or until too many fail for checks to be trusted.
//! - Nobody is ejected while more fail than may be. Who has failed once counts
//!   as failing in that, so that a failure of all at once, which the jitter of
//!   the checks spreads over an interval, takes nobody out.
//! - The roster is never emptied.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sharding::{Member, Roster};

use super::kept::{Gone, Kept};
use super::order::{Order, OrderRefused};
use crate::config::Health as Rules;
use crate::fleet::Sight;

mod deciding;
mod shown;
mod ward;

pub(super) use deciding::Happened;
use ward::{Standing, Ward};

/// Members that are remembered after they have left the registry.
const MAX_GONE: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Judge {
    /// Without any, whoever is listed serves.
    rules: Option<Rules>,
    /// All that are listed, by id.
    wards: BTreeMap<String, Ward>,
    /// Members of the last assignment before the start, until they are listed.
    last: BTreeMap<String, Member>,
    /// To whom proxies route.
    assigned: Option<Roster>,
    /// Those that have left the registry and are still assigned.
    leaving: BTreeMap<String, Ward>,
    /// Those that served or were ejected when they left, or before the start.
    gone: BTreeMap<String, Gone>,
    drained: BTreeSet<String>,
    sight: Sight,
    /// Who would be ejected, if not too many were.
    held_back: BTreeSet<String>,
    /// The last one that was decided on.
    roster: Option<Roster>,
    /// Whether that stays only since nobody of those that are listed serves.
    keeps_last: bool,
    ejections: u64,
    readmissions: u64,
    /// Until when the very first roster waits for checks; absent until the
    /// registry has spoken.
    first_until: Option<Instant>,
    happened: Vec<Happened>,
}

impl Judge {
    /// A judge after a start: `last` served before it, and `kept` was decided.
    pub(super) fn new(rules: Option<Rules>, last: Option<&Roster>, kept: Kept) -> Self {
        let members = last.map_or(&[][..], Roster::members).iter();
        Self {
            rules,
            wards: BTreeMap::new(),
            last: members.map(|m| (m.id.clone(), m.clone())).collect(),
            assigned: last.cloned(),
            leaving: BTreeMap::new(),
            gone: kept.gone,
            drained: kept.drained,
            sight: Sight::default(),
            held_back: BTreeSet::new(),
            roster: None,
            keeps_last: false,
            ejections: 0,
            readmissions: 0,
            first_until: None,
            happened: Vec::new(),
        }
    }

    /// Proxies route to these now.
    pub(super) fn assigned(&mut self, roster: Option<Roster>) {
        if roster.is_some() {
            self.assigned = roster;
        }
    }

    /// The registry lists these.
    pub(super) fn listed(&mut self, roster: &Roster, now: Instant) {
        let wait = match &self.rules {
            Some(rules) if self.last.is_empty() => first_wait(rules),
            _ => Duration::ZERO,
        };
        self.first_until.get_or_insert(now + wait);
        self.part(roster);
        for member in roster.members() {
            let has_checks = self.rules.is_some();
            if let Some(ward) = self.wards.get_mut(&member.id) {
                ward.listed(member, has_checks);
                continue;
            }
            if self.drained.contains(&member.id) {
                let id = member.id.clone();
                self.happened.push(Happened::StillDrained { id });
            }
            let gone = self.gone.remove(&member.id);
            let ward = match (self.last.remove(&member.id), gone) {
                _ if !has_checks => Ward::serving(member, member.address),
                (Some(last), _) => Ward::restored(member, last),
                (None, Some(gone)) => Ward::returning(member, gone, now),
                (None, None) => Ward::awaited(member),
            };
            self.wards.insert(member.id.clone(), ward);
        }
        // Proxies still route to the others.
        for (id, member) in std::mem::take(&mut self.last) {
            let left = Ward::restored(&member.clone(), member);
            self.leaving.insert(id, left);
        }
    }

    /// Follows who leaves, and who is back before anybody else owned its keys:
    /// that one was never away.
    fn part(&mut self, roster: &Roster) {
        let left = self.wards.extract_if(.., |id, _| roster.get(id).is_none());
        self.leaving.extend(left);
        let assigned = self.assigned.as_ref();
        let is_assigned = |id: &str| assigned.is_some_and(|roster| roster.get(id).is_some());
        let away = self.leaving.extract_if(.., |id, _| !is_assigned(id));
        for (id, ward) in away.collect::<Vec<_>>() {
            self.remember(id, ward.gone());
        }
        let back = self
            .leaving
            .extract_if(.., |id, _| roster.get(id).is_some());
        self.wards.extend(back.map(|(id, mut ward)| {
            // Nobody has checked it meanwhile.
            ward.forget_checks();
            (id, ward)
        }));
    }

    /// Whoever comes back in the same incarnation may have stale caches.
    fn remember(&mut self, id: String, gone: Option<Gone>) {
        if self.rules.is_none() {
            return;
        }
        let Some(gone) = gone else { return };
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_first();
        }
        self.gone.insert(id, gone);
    }

    /// Whom to check.
    pub(super) fn to_check(&self) -> impl Iterator<Item = &str> {
        self.wards.keys().map(String::as_str)
    }

    /// How that one is listed: whom to check, and where.
    pub(super) fn listed_as(&self, id: &str) -> Option<&Member> {
        Some(&self.wards.get(id)?.listed)
    }

    /// Whether it matters now which incarnation that one is.
    pub(super) fn wants_incarnation(&self, id: &str) -> bool {
        self.wards.get(id).is_some_and(Ward::wants_incarnation)
    }

    /// A check of that member at that address has passed, with the incarnation if
    /// it was asked for, or has not. Returns whether that is news.
    pub(super) fn checked(
        &mut self,
        id: &str,
        address: SocketAddr,
        result: Result<Option<String>, String>,
        now: Instant,
    ) -> bool {
        let ward = self.wards.get_mut(id);
        let Some(ward) = ward.filter(|ward| ward.listed.address == address) else {
            return false;
        };
        let is_news = ward.checked(result, now);
        if let (Standing::Awaited { .. }, 1, Some(why)) =
            (&ward.standing, ward.failures, &ward.problem)
        {
            self.happened.push(Happened::NotYet {
                id: id.to_owned(),
                why: why.clone(),
            });
        }
        is_news
    }

    /// What proxies see now. Returns whether that is news.
    pub(super) fn seen(&mut self, sight: Sight) -> bool {
        let is_news = self.sight != sight;
        self.sight = sight;
        is_news
    }

    /// A person wants that of a member.
    pub(super) fn order(&mut self, id: &str, order: Order) -> Result<(), OrderRefused> {
        let unknown = || OrderRefused::Unknown { id: id.to_owned() };
        match order {
            Order::Drain => {
                if !self.wards.contains_key(id) {
                    return Err(unknown());
                }
                let others = self.wards.iter();
                let mut others = others.filter(|(other, ward)| {
                    *other != id && ward.serves().is_some() && !self.drained.contains(*other)
                });
                if others.next().is_none() {
                    return Err(OrderRefused::Last { id: id.to_owned() });
                }
                self.drained.insert(id.to_owned());
            }
            Order::Undrain => {
                if !self.drained.remove(id) {
                    let is_known = self.wards.contains_key(id);
                    return if is_known { Ok(()) } else { Err(unknown()) };
                }
                if let Some(ward) = self.wards.get_mut(id) {
                    ward.undrained();
                }
            }
            Order::Readmit => {
                let ward = self.wards.get_mut(id).ok_or_else(unknown)?;
                if !ward.readmit() {
                    return Err(OrderRefused::NotEjected { id: id.to_owned() });
                }
            }
        }
        self.happened.push(Happened::Ordered {
            id: id.to_owned(),
            order,
        });
        Ok(())
    }

    /// What has to outlive a restart.
    pub(super) fn kept(&self) -> Kept {
        let gone = |(id, ward): (&String, &Ward)| Some((id.clone(), ward.gone()?));
        let ejected = self.wards.iter().filter_map(gone);
        let ejected = ejected.filter(|(_, gone)| gone.is_ejected);
        let leaving = self.leaving.iter().filter_map(gone);
        let others = ejected.chain(leaving);
        Kept {
            drained: self.drained.clone(),
            gone: self.gone.clone().into_iter().chain(others).collect(),
        }
    }
}

/// How long members may take to be checked once before the very first roster.
fn first_wait(rules: &Rules) -> Duration {
    rules.timeout + Duration::from_millis(500)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
