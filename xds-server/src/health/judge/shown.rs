//! What the judge shows of what it knows.

use super::Judge;
use super::ward::{Return, Standing, Ward};
use crate::config::Health as Rules;
use crate::health::shown::{MemberHealth, MemberState, Shown};

impl Judge {
    /// All members, with what becomes of them and why.
    pub(in crate::health) fn shown(&self) -> Shown {
        let members = self.wards.iter().map(|(id, ward)| {
            let (state, why) = self.state_of(id, ward);
            MemberHealth {
                id: id.clone(),
                address: ward.listed.address,
                weight: ward.listed.weight,
                incarnation: ward.incarnation().cloned(),
                zone: ward.listed.zone.clone(),
                state,
                why,
            }
        });
        Shown {
            members: members.collect(),
            held_back: self.held_back.len() as u64,
            keeps_last: self.keeps_last,
            ejections: self.ejections,
            readmissions: self.readmissions,
        }
    }

    fn state_of(&self, id: &str, ward: &Ward) -> (MemberState, Option<String>) {
        if self.drained.contains(id) {
            return (MemberState::Drained, Some("by order".to_owned()));
        }
        let problem = || ward.problem.clone();
        match (&ward.standing, &self.rules) {
            (Standing::Awaited { .. }, _) => {
                let why = problem().unwrap_or_else(|| "was not checked yet".to_owned());
                (MemberState::Awaited, Some(why))
            }
            (Standing::Ejected { then, .. }, Some(rules)) => {
                let waits = match ward.may_return(rules) {
                    Some(Return::Waits(why)) => why,
                    _ => "comes back if its checks pass for a while",
                };
                let why = problem().unwrap_or_else(|| then.why.clone());
                (MemberState::Ejected, Some(format!("{why}; {waits}")))
            }
            (Standing::Serving { .. }, Some(rules)) if ward.failures >= rules.fail_after => {
                let why = format!(
                    "{}; {}",
                    problem().unwrap_or_default(),
                    self.why_kept(id, rules)
                );
                (MemberState::Failing, Some(why))
            }
            _ => (MemberState::Serving, None),
        }
    }

    fn why_kept(&self, id: &str, rules: &Rules) -> String {
        if self.held_back.contains(id) {
            return "kept, since too many fail".to_owned();
        }
        let (observers, quorum) = (self.observers(id, true), self.quorum(rules));
        format!("kept, since {observers} of {quorum} observers find it dead")
    }
}
