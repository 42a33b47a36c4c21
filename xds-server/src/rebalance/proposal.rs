//! A change of members or policy that nobody has made yet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sharding::{Assignment, Member, Policy, Roster, RosterError};
use thiserror::Error;

/// What to change, in this order: first who there is, then who comes, who goes
/// and who weighs what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proposal {
    /// Start from these members instead of the present ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Roster>,
    /// Members to add, or to give another address: addresses by id.
    pub add: BTreeMap<String, SocketAddr>,
    /// Ids of members to take out.
    pub remove: Vec<String>,
    /// Weights by id.
    pub weight: BTreeMap<String, u32>,
    /// Spread keys by this policy instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// Why a proposal leads nowhere.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// It takes somebody out who is not there.
    #[error("remove {0}: there is no such member")]
    NobodyToRemove(String),
    /// It weighs somebody who is not there.
    #[error("weight {0}: there is no such member")]
    NobodyToWeigh(String),
    /// Nobody would serve.
    #[error("no member would be left")]
    NobodyLeft,
    /// The members cannot be together.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

impl Proposal {
    /// The assignment that it makes of `before`; its epoch means nothing.
    ///
    /// # Errors
    /// When it names members that are not there, or leads to a roster that
    /// cannot be.
    pub fn apply(&self, before: &Assignment) -> Result<Assignment, ProposalError> {
        let roster = self.members.as_ref().unwrap_or(before.roster()).clone();
        let policy = self.policy.unwrap_or(before.policy());
        Ok(Assignment::new(0, policy, self.change(roster)?))
    }

    fn change(&self, roster: Roster) -> Result<Roster, ProposalError> {
        let members = Vec::from(roster).into_iter();
        let mut members: BTreeMap<String, Member> =
            members.map(|member| (member.id.clone(), member)).collect();
        for (id, address) in &self.add {
            let weight = members.get(id).map_or(1, |member| member.weight);
            members.insert(id.clone(), Member::new(id, *address, weight));
        }
        for id in &self.remove {
            members
                .remove(id)
                .ok_or_else(|| ProposalError::NobodyToRemove(id.clone()))?;
        }
        for (id, weight) in &self.weight {
            members
                .get_mut(id)
                .ok_or_else(|| ProposalError::NobodyToWeigh(id.clone()))?
                .weight = *weight;
        }
        if members.is_empty() {
            return Err(ProposalError::NobodyLeft);
        }
        Ok(Roster::new(members.into_values().collect())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before() -> Assignment {
        let members = [("a", 1), ("b", 2)];
        let members = members.map(|(id, port)| Member::new(id, ([127, 0, 0, 1], port).into(), 3));
        Assignment::new(7, Policy::default(), Roster::new(members.into()).unwrap())
    }

    fn apply(json: &str) -> Result<Vec<(String, u32)>, String> {
        let proposal: Proposal = serde_json::from_str(json).unwrap();
        let after = proposal
            .apply(&before())
            .map_err(|error| error.to_string())?;
        let members = after.roster().members().iter();
        Ok(members
            .map(|member| (member.id.clone(), member.weight))
            .collect())
    }

    #[test]
    fn members_come_go_and_weigh_otherwise() {
        let json = r#"{"add": {"c": "127.0.0.1:3"}, "remove": ["b"], "weight": {"c": 5}}"#;
        let expected = [("a".to_owned(), 3), ("c".to_owned(), 5)];
        assert_eq!(apply(json), Ok(expected.into()));
        let moved = r#"{"add": {"a": "127.0.0.1:9"}}"#;
        assert_eq!(
            apply(moved).unwrap()[0],
            ("a".to_owned(), 3),
            "an address is no weight"
        );
        let others = r#"{"members": [{"id": "x", "address": "127.0.0.1:4", "weight": 1}]}"#;
        assert_eq!(apply(others), Ok([("x".to_owned(), 1)].into()));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        for (json, reason) in [
            (r#"{"remove": ["x"]}"#, "remove x: there is no such member"),
            (
                r#"{"weight": {"x": 1}}"#,
                "weight x: there is no such member",
            ),
            (r#"{"remove": ["a", "b"]}"#, "no member would be left"),
            (r#"{"weight": {"a": 0}}"#, "\"a\" has weight 0"),
            (
                r#"{"add": {"c": "127.0.0.1:1"}}"#,
                "127.0.0.1:1 is given to both",
            ),
        ] {
            let error = apply(json).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
