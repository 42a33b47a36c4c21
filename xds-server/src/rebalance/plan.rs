//! What a change of the roster moves, before it is made.

use std::collections::BTreeMap;

use serde::Serialize;
use sharding::{Assignment, HashRing, Member, Roster};

/// The difference between two assignments under one policy. Shares are parts of
/// all possible keys, from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Keys that change their owner.
    pub moved: f64,
    /// The least that has to move to give every member its share by weight.
    pub ideal: f64,
    /// From whom to whom, by id.
    pub moves: Vec<Move>,
    /// Members that keep their keys and serve them elsewhere: no key moves, but
    /// their open streams have to end.
    pub readdressed: Vec<String>,
    /// Share of each member afterwards, by id.
    pub shares: BTreeMap<String, f64>,
}

/// Keys that go from one member to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Move {
    /// Id of the owner before.
    pub from: String,
    /// Id of the owner afterwards.
    pub to: String,
    /// How many.
    pub share: f64,
}

impl Plan {
    /// Compares two assignments of the same policy; none of their rosters may be
    /// empty.
    #[must_use]
    pub fn between(before: &Assignment, after: &Assignment) -> Self {
        let mut moves: BTreeMap<(String, String), f64> = BTreeMap::new();
        let mut shares: BTreeMap<String, f64> = BTreeMap::new();
        let ids = |members: &[Member]| {
            members
                .iter()
                .map(|m| (m.id.clone(), 0.0))
                .collect::<Vec<_>>()
        };
        shares.extend(ids(after.roster().members()));
        for (hash, share) in parts(before, after) {
            let (Some(from), Some(to)) = (before.owner_of_hash(hash), after.owner_of_hash(hash))
            else {
                continue;
            };
            *shares.entry(to.member.id.clone()).or_default() += share;
            if from.member.id != to.member.id {
                let way = (from.member.id.clone(), to.member.id.clone());
                *moves.entry(way).or_default() += share;
            }
        }
        Self {
            moved: moves.values().sum(),
            ideal: ideal(before.roster(), after.roster()),
            moves: moves
                .into_iter()
                .map(|((from, to), share)| Move { from, to, share })
                .collect(),
            readdressed: readdressed(before.roster(), after.roster()),
            shares,
        }
    }
}

/// Cuts all hashes into parts that have one owner in each assignment: a hash of
/// each part, and its share.
fn parts(before: &Assignment, after: &Assignment) -> Vec<(u64, f64)> {
    if let (Some(table), Some(_)) = (before.maglev(), after.maglev()) {
        let slots = table.members().len();
        return (0..slots as u64)
            .map(|slot| (slot, 1.0 / slots as f64))
            .collect();
    }
    let entries = |assignment: &Assignment| -> Vec<u64> {
        let ring = assignment.ring().map(HashRing::entries).unwrap_or_default();
        ring.iter().map(|entry| entry.hash).collect()
    };
    let mut ends = [entries(before), entries(after)].concat();
    ends.sort_unstable();
    ends.dedup();
    let last = ends.last().copied().unwrap_or_default();
    // Everything up to an entry belongs to it; the first one gets what is behind the last as well.
    let starts = std::iter::once(last).chain(ends.iter().copied());
    starts
        .zip(&ends)
        .map(|(start, &end)| (end, end.wrapping_sub(start) as f64 / 2_f64.powi(64)))
        .collect()
}

fn ideal(before: &Roster, after: &Roster) -> f64 {
    let total = |roster: &Roster| {
        roster
            .members()
            .iter()
            .map(|m| f64::from(m.weight))
            .sum::<f64>()
    };
    let (all_before, all_after) = (total(before), total(after));
    let gain = |member: &Member| {
        let had = before.get(&member.id).map_or(0.0, |m| f64::from(m.weight));
        (f64::from(member.weight) / all_after - had / all_before).max(0.0)
    };
    after.members().iter().map(gain).sum()
}

fn readdressed(before: &Roster, after: &Roster) -> Vec<String> {
    let elsewhere = |member: &&Member| {
        let old = before.get(&member.id);
        old.is_some_and(|old| old.address != member.address)
    };
    let members = after.members().iter().filter(elsewhere);
    members.map(|member| member.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(policy: &str, members: &[(&str, u16, u32)]) -> Assignment {
        let members = members
            .iter()
            .map(|&(id, port, weight)| Member::new(id, ([127, 0, 0, 1], port).into(), weight));
        let roster = Roster::new(members.collect()).unwrap();
        Assignment::new(0, policy.parse().unwrap(), roster)
    }

    const THREE: [(&str, u16, u32); 3] = [("a", 1, 1), ("b", 2, 1), ("c", 3, 1)];

    #[test]
    fn a_fourth_member_takes_its_share_and_little_else_moves() {
        for (policy, tolerance) in [("maglev", 0.01), ("ring_hash:65536", 0.12)] {
            let before = assignment(policy, &THREE);
            let after = assignment(policy, &[&THREE[..], &[("d", 4, 1)]].concat());
            let plan = Plan::between(&before, &after);
            assert!((plan.ideal - 0.25).abs() < 1e-9, "{plan:?}");
            // Envoy's rings renumber some entries of everybody when the scale changes.
            assert!((0.24..0.25 + tolerance).contains(&plan.moved), "{plan:?}");
            let to_d: f64 = plan
                .moves
                .iter()
                .filter(|m| m.to == "d")
                .map(|m| m.share)
                .sum();
            assert!((to_d - plan.shares["d"]).abs() < 1e-9, "{plan:?}");
            let all: f64 = plan.shares.values().sum();
            assert!((all - 1.0).abs() < 1e-9, "{plan:?}");
        }
    }

    /// The plan's arithmetic against asking for many keys.
    #[test]
    fn the_moved_share_is_that_of_real_keys() {
        for policy in ["maglev:251", "ring_hash:64"] {
            let before = assignment(policy, &THREE);
            let after = assignment(policy, &[("a", 1, 3), ("c", 3, 1), ("d", 4, 2)]);
            let keys = 0..20_000_u32;
            let moved = keys.clone().filter(|n| {
                let key = format!("project/document-{n}");
                let id = |a: &Assignment| a.owner(key.as_bytes()).unwrap().member.id.clone();
                id(&before) != id(&after)
            });
            let observed = moved.count() as f64 / keys.len() as f64;
            let planned = Plan::between(&before, &after).moved;
            assert!(
                (observed - planned).abs() < 0.02,
                "{policy}: {observed} {planned}"
            );
        }
    }

    #[test]
    fn another_address_moves_no_key_and_is_named() {
        let before = assignment("maglev:251", &THREE);
        let after = assignment("maglev:251", &[("a", 1, 1), ("b", 9, 1), ("c", 3, 1)]);
        let plan = Plan::between(&before, &after);
        assert!(plan.moved == 0.0 && plan.ideal == 0.0 && plan.moves.is_empty());
        assert_eq!(plan.readdressed, ["b"]);
    }
}
