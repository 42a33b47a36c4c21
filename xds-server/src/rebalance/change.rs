//! What differs between two assignments, in words.

use std::fmt;

use serde::{Deserialize, Serialize};
use sharding::{Drain, FilterConfig, Member, Roster};

/// Most changes that are listed of one rebalance.
const MAX_LISTED: usize = 100;

/// Why a rebalance was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// There was no assignment before.
    First,
    /// A restart found a rebalance in the middle.
    Resumed,
    /// Proxies already have a higher epoch: the state file was an older one.
    Outdated,
    /// The hash policy or the size of its table.
    Policy,
    /// What else the filter is told, such as key rules.
    Settings,
    /// A member came.
    Added,
    /// A member went.
    Removed,
    /// A member serves at another address, or in another zone.
    Readdressed,
    /// A member has another weight.
    Weight,
    /// A member is another incarnation.
    Restarted,
}

impl Cause {
    /// Short name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Resumed => "resumed",
            Self::Outdated => "outdated",
            Self::Policy => "policy",
            Self::Settings => "settings",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Readdressed => "readdressed",
            Self::Weight => "weight",
            Self::Restarted => "restarted",
        }
    }
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it is about.
    pub cause: Cause,
    /// Id of the member, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

impl Change {
    /// A change that is about no member.
    #[must_use]
    pub fn of(cause: Cause) -> Self {
        Self {
            cause,
            member: None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.name())?;
        match &self.member {
            Some(member) => write!(f, " {member}"),
            None => Ok(()),
        }
    }
}

/// All that differs from `before` to `after` but the epoch and the drain; of
/// many the first hundred.
#[must_use]
pub fn changes(before: Option<&FilterConfig>, after: &FilterConfig) -> Vec<Change> {
    let Some(before) = before else {
        return vec![Change::of(Cause::First)];
    };
    let mut changes = Vec::new();
    if before.policy != after.policy {
        changes.push(Change::of(Cause::Policy));
    }
    if without_assignment(before) != without_assignment(after) {
        changes.push(Change::of(Cause::Settings));
    }
    let none = Roster::default();
    let (old, new) = (
        before.members.as_ref().unwrap_or(&none),
        after.members.as_ref().unwrap_or(&none),
    );
    changes.extend(of_members(old, new));
    changes.truncate(MAX_LISTED);
    changes
}

fn without_assignment(config: &FilterConfig) -> FilterConfig {
    FilterConfig {
        epoch: 0,
        policy: sharding::Policy::default(),
        members: None,
        drain: Drain::Hold,
        ..config.clone()
    }
}

fn of_members<'a>(old: &'a Roster, new: &'a Roster) -> impl Iterator<Item = Change> + 'a {
    let change = |cause, member: &Member| Change {
        cause,
        member: Some(member.id.clone()),
    };
    let gone = old.members().iter().filter(|m| new.get(&m.id).is_none());
    let gone = gone.map(move |member| change(Cause::Removed, member));
    let come_or_changed = new.members().iter().flat_map(move |member| {
        let Some(was) = old.get(&member.id) else {
            return vec![change(Cause::Added, member)];
        };
        let differs = [
            (
                Cause::Readdressed,
                (was.address, &was.zone) != (member.address, &member.zone),
            ),
            (Cause::Weight, was.weight != member.weight),
            (Cause::Restarted, was.incarnation != member.incarnation),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(cause, _)| change(cause, member)).collect()
    });
    come_or_changed.chain(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(members: &[(&str, u16, u32)]) -> FilterConfig {
        let members = members
            .iter()
            .map(|&(id, port, weight)| Member::new(id, ([127, 0, 0, 1], port).into(), weight));
        FilterConfig {
            members: Some(Roster::new(members.collect()).unwrap()),
            ..FilterConfig::new(1, "c")
        }
    }

    #[test]
    fn every_difference_is_named_and_nothing_else() {
        let before = config(&[("a", 1, 1), ("b", 2, 1), ("c", 3, 1)]);
        let mut after = config(&[("a", 9, 2), ("b", 2, 1), ("d", 4, 1)]);
        after.policy = "ring_hash".parse().unwrap();
        after.epoch = 2;
        let words: Vec<_> = changes(Some(&before), &after)
            .iter()
            .map(Change::to_string)
            .collect();
        assert_eq!(
            words,
            [
                "policy",
                "readdressed a",
                "weight a",
                "added d",
                "removed c"
            ]
        );
        assert_eq!(changes(Some(&before), &before), []);
        assert_eq!(changes(None, &before), [Change::of(Cause::First)]);
    }

    #[test]
    fn another_incarnation_and_other_rules_are_changes_too() {
        let before = config(&[("a", 1, 1)]);
        let mut member = Member::new("a", ([127, 0, 0, 1], 1).into(), 1);
        member.incarnation = Some("2".to_owned());
        let after = FilterConfig {
            members: Some(Roster::new(vec![member]).unwrap()),
            max_body: 5,
            ..before.clone()
        };
        let causes = changes(Some(&before), &after);
        let causes: Vec<_> = causes.iter().map(|change| change.cause).collect();
        assert_eq!(causes, [Cause::Settings, Cause::Restarted]);
    }
}
