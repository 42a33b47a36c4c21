//! What a change of the assignment moves, before it is made.
//!
//! Pure, and for large tables the work of a second or so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sharding::{Assignment, Member, Roster};

mod basis;
mod parts;
mod returning;
mod streams;

pub use basis::{PlanBasis, Planned};
use parts::Parts;
pub use returning::{Returning, returning};
pub use streams::Streams;

/// The difference between two assignments. Shares are parts of all possible
/// keys, from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Keys that change their owner.
    pub moved: f64,
    /// The least that has to move to give every member its share by weight.
    pub ideal: f64,
    /// Slots, where both are Maglev tables of one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Slots>,
    /// Whether the shares come from a sample of keys, since the tables have
    /// different shapes or are very large.
    #[serde(default)]
    pub sampled: bool,
    /// From whom to whom, by id.
    pub moves: Vec<Move>,
    /// Members that keep their keys and serve them elsewhere: no key moves, but
    /// their open streams have to end.
    pub readdressed: Vec<String>,
    /// Share of each member before, by id.
    pub before: BTreeMap<String, f64>,
    /// Share of each member afterwards, by id.
    pub shares: BTreeMap<String, f64>,
}

/// Slots of a Maglev table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// Those that change their owner.
    pub moved: usize,
    /// All.
    pub of: usize,
}

/// Keys that go from one member to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Id of the owner before.
    pub from: String,
    /// Id of the owner afterwards.
    pub to: String,
    /// How many.
    pub share: f64,
}

impl Plan {
    /// Compares two assignments, none of whose rosters may be empty.
    #[must_use]
    pub fn between(before: &Assignment, after: &Assignment) -> Self {
        let mut moves: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        let (mut had, mut has) = (shares_of_none(before), shares_of_none(after));
        let mut moved_parts = 0;
        let Parts {
            all,
            sampled,
            slots,
        } = Parts::of(&[before, after]);
        for (hash, share) in all {
            let owner = |assignment| Assignment::owner_of_hash(assignment, hash).map(|o| o.member);
            let (Some(from), Some(to)) = (owner(before), owner(after)) else {
                continue;
            };
            *had.entry(&from.id).or_default() += share;
            *has.entry(&to.id).or_default() += share;
            if from.id != to.id {
                *moves.entry((&from.id, &to.id)).or_default() += share;
                moved_parts += 1;
            }
        }
        let moves = moves.into_iter().map(|((from, to), share)| Move {
            from: from.to_owned(),
            to: to.to_owned(),
            share,
        });
        let moves: Vec<Move> = moves.collect();
        Self {
            // Not `sum`, which is -0 of nothing.
            moved: moves.iter().fold(0.0, |sum, way| sum + way.share),
            ideal: ideal(before.roster(), after.roster()),
            slots: slots.map(|of| Slots {
                moved: moved_parts,
                of,
            }),
            sampled,
            moves,
            readdressed: readdressed(before.roster(), after.roster()),
            before: owned(had),
            shares: owned(has),
        }
    }
}

/// The share of all keys that each member owns, by id.
#[must_use]
pub fn shares(assignment: &Assignment) -> BTreeMap<String, f64> {
    let mut shares = shares_of_none(assignment);
    for (hash, share) in Parts::of(&[assignment]).all {
        if let Some(owner) = assignment.owner_of_hash(hash) {
            *shares.entry(&owner.member.id).or_default() += share;
        }
    }
    owned(shares)
}

fn shares_of_none(assignment: &Assignment) -> BTreeMap<&str, f64> {
    let members = assignment.roster().members().iter();
    members.map(|member| (member.id.as_str(), 0.0)).collect()
}

fn owned(shares: BTreeMap<&str, f64>) -> BTreeMap<String, f64> {
    let shares = shares.into_iter();
    shares.map(|(id, share)| (id.to_owned(), share)).collect()
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
mod tests;
