//! Members that get back keys that they had before: a server keeps what it has
//! cached of a document for as long as it runs, so what it knows may be stale.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sharding::{Assignment, Member};

use super::parts::Parts;
use crate::rebalance::machine::Past;

/// A member with stale caches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Returning {
    /// Its id.
    pub member: String,
    /// Share of all keys that it gets and has had in the same incarnation.
    pub share: f64,
}

/// Who gets keys that are somebody else's `before` and were its own in one of
/// `past`.
#[must_use]
pub fn returning(before: &Assignment, after: &Assignment, past: &[Past]) -> Vec<Returning> {
    let past: Vec<Assignment> = past
        .iter()
        .map(|past| Assignment::new(0, past.policy, past.members.clone()))
        .collect();
    if past.is_empty() {
        return Vec::new();
    }
    let all: Vec<&Assignment> = [before, after].into_iter().chain(&past).collect();
    let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
    for (hash, share) in Parts::of(&all).parts {
        let owner = |assignment| Assignment::owner_of_hash(assignment, hash).map(|o| o.member);
        let (Some(from), Some(to)) = (owner(before), owner(after)) else {
            continue;
        };
        let had = |past: &Assignment| {
            let then = past.owner_of_hash(hash);
            then.is_some_and(|then| is_same_run(then.member, to))
        };
        if from.id != to.id && past.iter().any(had) {
            *shares.entry(&to.id).or_default() += share;
        }
    }
    let returning = shares.into_iter().map(|(member, share)| Returning {
        member: member.to_owned(),
        share,
    });
    returning.collect()
}

/// Whether both are one incarnation of one member, as far as is known: without
/// an incarnation it is taken for the same if it did not move.
fn is_same_run(then: &Member, now: &Member) -> bool {
    let same = match (&then.incarnation, &now.incarnation) {
        (Some(then), Some(now)) => then == now,
        _ => then.address == now.address,
    };
    then.id == now.id && same
}
