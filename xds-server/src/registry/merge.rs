//! Several rosters become one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sharding::{Member, Roster, RosterError};
use thiserror::Error;

/// All members, and those that are left out.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) roster: Roster,
    pub(super) conflicts: Vec<Conflict>,
}

/// A member that an earlier source knows differently.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{id:?} of {source_name} at {address}, weight {weight}: {earlier} has {its_id:?} at {its_address}, weight {its_weight}"
)]
pub(super) struct Conflict {
    id: String,
    source_name: &'static str,
    address: SocketAddr,
    weight: u32,
    earlier: &'static str,
    its_id: String,
    its_address: SocketAddr,
    its_weight: u32,
}

/// Merges rosters of sources in the order of their rank: of members with the
/// same id, or with the same address, that of the earliest source counts.
///
/// # Errors
/// More members, or more weight, than a roster can have.
pub(super) fn merge<'a>(
    rosters: impl Iterator<Item = (&'static str, &'a Roster)>,
) -> Result<Merged, RosterError> {
    let mut by_id = BTreeMap::<&str, (&'static str, &Member)>::new();
    let mut by_address = BTreeMap::<SocketAddr, (&'static str, &Member)>::new();
    let mut conflicts = Vec::new();
    for (source, roster) in rosters {
        for member in roster.members() {
            let same_id = by_id.get(member.id.as_str());
            match same_id.or_else(|| by_address.get(&member.address)) {
                None => {
                    by_id.insert(&member.id, (source, member));
                    by_address.insert(member.address, (source, member));
                }
                Some((_, known)) if is_same(member, known) => {}
                Some((earlier, known)) => conflicts.push(Conflict {
                    id: member.id.clone(),
                    source_name: source,
                    address: member.address,
                    weight: member.weight,
                    earlier,
                    its_id: known.id.clone(),
                    its_address: known.address,
                    its_weight: known.weight,
                }),
            }
        }
    }
    let members = by_id.into_values().map(|(_, member)| member.clone());
    Ok(Merged {
        roster: Roster::new(members.collect())?,
        conflicts,
    })
}

/// One source may know the incarnation and another not.
fn is_same(a: &Member, b: &Member) -> bool {
    (&a.id, a.address, a.weight) == (&b.id, b.address, b.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, port: u16, weight: u32) -> Member {
        Member::new(id, ([10, 0, 0, 1], port).into(), weight)
    }

    fn roster(members: &[Member]) -> Roster {
        Roster::new(members.to_vec()).unwrap()
    }

    fn merged(rosters: &[(&'static str, &Roster)]) -> (Roster, Vec<String>) {
        let merged = merge(rosters.iter().copied()).unwrap();
        let conflicts = merged.conflicts.iter().map(ToString::to_string);
        (merged.roster, conflicts.collect())
    }

    #[test]
    fn one_source_is_taken_as_it_is() {
        let one = roster(&[member("a", 1, 1), member("b", 2, 3)]);
        assert_eq!(merged(&[("file", &one)]), (one, Vec::new()));
    }

    #[test]
    fn sources_add_up_and_may_agree() {
        let first = roster(&[member("a", 1, 1), member("b", 2, 1)]);
        let second = roster(&[member("b", 2, 1), member("c", 3, 1)]);
        let all = roster(&[member("a", 1, 1), member("b", 2, 1), member("c", 3, 1)]);
        assert_eq!(
            merged(&[("file", &first), ("dns", &second)]),
            (all, Vec::new())
        );
    }

    #[test]
    fn of_the_same_id_that_of_the_first_source_counts() {
        let mut known = member("a", 1, 2);
        known.incarnation = Some("x".to_owned());
        let first = roster(&[known]);
        for (other, said) in [
            (member("a", 2, 2), "\"a\" of dns at 10.0.0.1:2, weight 2"),
            (member("a", 1, 1), "\"a\" of dns at 10.0.0.1:1, weight 1"),
        ] {
            let second = roster(&[other]);
            let (roster, conflicts) = merged(&[("file", &first), ("dns", &second)]);
            assert_eq!(roster, first);
            let because = "file has \"a\" at 10.0.0.1:1, weight 2";
            assert_eq!(conflicts, [format!("{said}: {because}")]);
        }
        let without = roster(&[member("a", 1, 2)]);
        let agreed = merged(&[("file", &first), ("dns", &without)]);
        assert_eq!(agreed, (first, Vec::new()));
    }

    #[test]
    fn of_the_same_address_that_of_the_first_source_counts() {
        let first = roster(&[member("yorkie-0", 1, 1)]);
        let second = roster(&[member("10.0.0.1:1", 1, 1), member("10.0.0.1:2", 2, 1)]);
        let (all, conflicts) = merged(&[("file", &first), ("dns", &second)]);
        let expected = [member("yorkie-0", 1, 1), member("10.0.0.1:2", 2, 1)];
        assert_eq!(all, roster(&expected));
        assert_eq!(conflicts.len(), 1);
        assert!(
            conflicts[0].contains("has \"yorkie-0\" at 10.0.0.1:1"),
            "{conflicts:?}"
        );
    }

    #[test]
    fn more_weight_than_a_roster_can_have_is_an_error() {
        let (first, second) = (
            roster(&[member("a", 1, u32::MAX)]),
            roster(&[member("b", 2, 1)]),
        );
        let merged = merge([("file", &first), ("dns", &second)].into_iter());
        assert_eq!(merged.unwrap_err(), RosterError::WeightSum(1 << 32));
    }
}
