//! From what is known to who serves.

use std::collections::BTreeSet;
use std::time::Instant;

use sharding::{Member, Roster};

use super::Judge;
use super::ward::{Return, Ward};
use crate::config::Health as Rules;
use crate::health::order::Order;

/// What follows from all that is known.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::health) struct Decision {
    /// Who serves; absent until it is known.
    pub(in crate::health) roster: Option<Roster>,
    /// Members that were ejected since the start.
    pub(in crate::health) ejections: u64,
    /// What is new, for the log.
    pub(in crate::health) happened: Vec<Happened>,
    /// When to decide again, if nothing else happens before.
    pub(in crate::health) due: Option<Instant>,
}

/// For the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::health) enum Happened {
    /// A member that does not serve yet fails its checks.
    NotYet { id: String, why: String },
    /// A member has passed its first checks.
    Entered { id: String },
    /// A member that came back is treated as one that was ejected.
    KeptOut { id: String },
    /// A member has failed.
    Ejected {
        id: String,
        why: String,
        /// Proxies that find it dead, of all that report.
        proxies: [u32; 2],
    },
    /// A member that was ejected is back.
    Readmitted { id: String, because: &'static str },
    /// These would have been ejected, if not too many were.
    HeldBack { ids: Vec<String> },
    /// Nobody is held back any more.
    NoLongerHeldBack,
    /// Nobody of those that are listed serves: the last roster stays.
    KeepsLast,
    /// Somebody does again.
    NoLongerKeepsLast,
    /// A member is listed anew, and was drained before.
    StillDrained { id: String },
    /// A person wants that.
    Ordered { id: String, order: Order },
}

impl Judge {
    /// Decides on what is known now.
    pub(in crate::health) fn decide(&mut self, now: Instant) -> Decision {
        let mut due = None;
        if let Some(rules) = self.rules.clone() {
            let dead = self.dead(&rules);
            due = self.admit(&rules, &dead, now);
            self.eject(&rules, &dead, now);
        }
        let is_early = self.awaits_first(now);
        if is_early {
            due = earlier(due, self.first_until);
        } else {
            let serving = self.who_serves();
            self.keep_last(serving.is_none() && self.roster.is_some());
            self.roster = serving.or(self.roster.take());
        }
        Decision {
            roster: self.roster.clone(),
            ejections: self.ejections,
            happened: std::mem::take(&mut self.happened),
            due,
        }
    }

    /// Lets in who may serve. Returns when the next one may come back.
    fn admit(&mut self, rules: &Rules, dead: &BTreeSet<String>, now: Instant) -> Option<Instant> {
        let mut due = None;
        let wards = self.wards.iter_mut();
        for (id, ward) in wards.filter(|(id, _)| !dead.contains(*id)) {
            let because = match ward.may_return(rules) {
                None if ward.serves().is_none() && ward.passes >= rules.pass_after => {
                    let id = id.clone();
                    self.happened.push(if ward.enter() {
                        Happened::Entered { id }
                    } else {
                        Happened::KeptOut { id }
                    });
                    continue;
                }
                Some(Return::Now(because)) => because,
                Some(Return::At(at)) if at <= now => "its checks pass",
                Some(Return::At(at)) => {
                    due = earlier(due, Some(at));
                    continue;
                }
                None | Some(Return::Waits(_)) => continue,
            };
            ward.return_to_service();
            self.readmissions += 1;
            self.happened.push(Happened::Readmitted {
                id: id.clone(),
                because,
            });
        }
        due
    }

    /// Takes out who has failed, unless too many have.
    fn eject(&mut self, rules: &Rules, dead: &BTreeSet<String>, now: Instant) {
        let serving = self.undrained().filter(|(_, ward)| ward.serves().is_some());
        let serving = serving.map(|(id, _)| id);
        let dead: BTreeSet<String> = serving.filter(|id| dead.contains(*id)).cloned().collect();
        let allowed = self.allowed(rules);
        if self.out_or_failing() > allowed {
            // The checks are not to be trusted, and who has moved waits for them.
            for id in &dead {
                self.wards.get_mut(id).map(Ward::follow_registry);
            }
            self.hold_back(dead);
            return;
        }
        self.hold_back(BTreeSet::new());
        for id in dead {
            let Some(ward) = self.wards.get_mut(&id) else {
                continue;
            };
            let problem = ward.problem.clone();
            let why = problem.unwrap_or_else(|| "proxies do not reach it".to_owned());
            ward.eject(why.clone(), rules.damping.memory, now);
            self.ejections += 1;
            let proxies = [self.sight.unreached(&id), self.sight.proxies];
            self.happened.push(Happened::Ejected { id, why, proxies });
        }
    }

    /// Members that cannot serve, as enough observers say.
    fn dead(&self, rules: &Rules) -> BTreeSet<String> {
        let dead = self.wards.iter().filter(|(id, ward)| {
            let fails = ward.failures >= rules.fail_after;
            self.observers(id, fails) >= self.quorum(rules) && (fails || self.is_general(id))
        });
        dead.map(|(id, _)| id.clone()).collect()
    }

    /// Who finds that member dead: the checks, if they fail, and proxies. One that
    /// is slow counts only where its checks fail too.
    pub(super) fn observers(&self, id: &str, fails: bool) -> u32 {
        if fails {
            1 + self.sight.doubted(id)
        } else {
            self.sight.unreached(id)
        }
    }

    /// Whether requests do not reach that member through most of the proxies.
    fn is_general(&self, id: &str) -> bool {
        self.sight.unreached(id) * 2 > self.sight.proxies
    }

    /// How many have to.
    pub(super) fn quorum(&self, rules: &Rules) -> u32 {
        let usual = if self.sight.proxies > 0 { 2 } else { 1 };
        rules.quorum.unwrap_or(usual)
    }

    /// Most members that may be out.
    fn allowed(&self, rules: &Rules) -> usize {
        let could_serve = self
            .undrained()
            .filter(|(_, ward)| ward.is_ejected() || ward.serves().is_some());
        most_ejected(could_serve.count(), rules.max_ejected)
    }

    /// Members that are out, and those that may be about to.
    fn out_or_failing(&self) -> usize {
        let is_it = |(id, ward): &(&String, &Ward)| {
            let fails = ward.failures > 0 || self.is_general(id);
            ward.is_ejected() || ward.serves().is_some() && fails
        };
        self.undrained().filter(is_it).count()
    }

    fn undrained(&self) -> impl Iterator<Item = (&String, &Ward)> {
        let all = self.wards.iter();
        all.filter(|(id, _)| !self.drained.contains(*id))
    }

    fn hold_back(&mut self, ids: BTreeSet<String>) {
        if ids == self.held_back {
            return;
        }
        self.happened.push(if ids.is_empty() {
            Happened::NoLongerHeldBack
        } else {
            Happened::HeldBack {
                ids: ids.iter().cloned().collect(),
            }
        });
        self.held_back = ids;
    }

    fn keep_last(&mut self, keeps_last: bool) {
        if keeps_last != self.keeps_last {
            self.keeps_last = keeps_last;
            self.happened.push(if keeps_last {
                Happened::KeepsLast
            } else {
                Happened::NoLongerKeepsLast
            });
        }
    }

    /// Whether the very first roster waits for those that were not checked yet:
    /// one by one they would be as many rebalances.
    fn awaits_first(&self, now: Instant) -> bool {
        let Some(until) = self.first_until else {
            return true;
        };
        let is_open = || self.wards.values().any(|ward| !ward.has_been_checked());
        self.roster.is_none() && now < until && is_open()
    }

    /// The roster, unless it would be empty.
    fn who_serves(&self) -> Option<Roster> {
        let members = self.undrained().filter_map(|(_, ward)| ward.serves());
        let members: Vec<Member> = members.collect();
        if members.is_empty() {
            return None;
        }
        // An old address of one may be the new one of another.
        let as_listed =
            |member: &Member| self.wards.get(&member.id).map(|ward| ward.listed.clone());
        let listed = || members.iter().filter_map(as_listed).collect();
        Roster::new(members.clone())
            .or_else(|_| Roster::new(listed()))
            .ok()
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Most of `members` that may be out: that many percent, but at least one, and
/// never the last.
fn most_ejected(members: usize, percent: u32) -> usize {
    let share = members * percent as usize / 100;
    share.max(1).min(members.saturating_sub(1))
}

#[cfg(test)]
impl Judge {
    /// Members that are out by their health.
    pub(super) fn undrained_ejected(&self) -> usize {
        self.undrained()
            .filter(|(_, ward)| ward.is_ejected())
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one_may_be_out_and_never_the_last() {
        for (members, percent, most) in [
            (0, 34, 0),
            (1, 100, 0),
            (2, 34, 1),
            (3, 34, 1),
            (5, 34, 1),
            (6, 34, 2),
            (100, 34, 34),
            (100, 0, 1),
            (3, 100, 2),
        ] {
            assert_eq!(
                most_ejected(members, percent),
                most,
                "{percent} % of {members}"
            );
        }
    }
}
