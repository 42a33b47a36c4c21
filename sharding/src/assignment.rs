//! Who owns which key under one epoch.

use std::sync::OnceLock;

use crate::hash::xxh64;
use crate::maglev::Maglev;
use crate::member::{Member, Roster};
use crate::policy::Policy;
use crate::ring::HashRing;

/// Epoch, policy and roster: together they decide the owner of every key.
/// Immutable.
///
/// The table is built when the first owner is asked for, so an assignment that
/// nobody asks costs no more than its roster.
#[derive(Debug, Clone)]
pub struct Assignment {
    epoch: u64,
    policy: Policy,
    roster: Roster,
    table: OnceLock<Table>,
}

/// The owner of a key, and how the assignment came to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// XXH64 of the canonical key.
    pub hash: u64,
    /// Slot of the Maglev table or position on the ring.
    pub slot: usize,
    /// Who owns it.
    pub member: &'a Member,
}

#[derive(Debug, Clone)]
enum Table {
    Maglev(Maglev),
    Ring(HashRing),
}

impl Assignment {
    /// The assignment of `roster` under `policy`, known as `epoch`.
    #[must_use]
    pub fn new(epoch: u64, policy: Policy, roster: Roster) -> Self {
        Self {
            epoch,
            policy,
            roster,
            table: OnceLock::new(),
        }
    }

    /// Its number; a later assignment has a higher one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How keys are spread.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Over whom they are spread.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The owner of the key that is spelled `key`, byte for byte as Envoy sees
    /// it in the header; `None` when the roster is empty.
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> Option<Owner<'_>> {
        self.owner_of_hash(xxh64(key, 0))
    }

    /// The owner of every key with this hash; `None` when the roster is empty.
    #[must_use]
    pub fn owner_of_hash(&self, hash: u64) -> Option<Owner<'_>> {
        let (slot, index) = match self.table() {
            Table::Maglev(maglev) => {
                let slot = maglev.slot(hash)?;
                (slot, maglev.member(slot)?)
            }
            Table::Ring(ring) => {
                let position = ring.position(hash)?;
                let entry = ring.entries().get(position)?;
                (position, usize::from(entry.member))
            }
        };
        let member = self.roster.members().get(index)?;
        Some(Owner { hash, slot, member })
    }

    /// The Maglev table, when that is the policy.
    #[must_use]
    pub fn maglev(&self) -> Option<&Maglev> {
        match self.table() {
            Table::Maglev(maglev) => Some(maglev),
            Table::Ring(_) => None,
        }
    }

    /// The ring, when that is the policy.
    #[must_use]
    pub fn ring(&self) -> Option<&HashRing> {
        match self.table() {
            Table::Ring(ring) => Some(ring),
            Table::Maglev(_) => None,
        }
    }

    fn table(&self) -> &Table {
        self.table.get_or_init(|| match self.policy {
            Policy::Maglev { table_size } => Table::Maglev(Maglev::new(table_size, &self.roster)),
            Policy::RingHash {
                minimum_ring_size,
                maximum_ring_size,
                hash_function,
            } => Table::Ring(HashRing::new(
                minimum_ring_size,
                maximum_ring_size,
                hash_function,
                &self.roster,
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;
    use proptest::prelude::*;

    fn roster(ids: &[u16]) -> Roster {
        Roster::new(
            ids.iter()
                .map(|n| member(&format!("m{n}"), n + 1, 1))
                .collect(),
        )
        .unwrap()
    }

    fn moved(from: &Assignment, to: &Assignment) -> f64 {
        let differ = (0..10_000_u32)
            .filter(|n| {
                let key = format!("project/document-{n}");
                let owner = |a: &Assignment| a.owner(key.as_bytes()).unwrap().member.id.clone();
                owner(from) != owner(to)
            })
            .count();
        differ as f64 / 10_000.0
    }

    #[test]
    fn nobody_owns_a_key_of_an_empty_roster() {
        for policy in ["maglev", "ring_hash"] {
            let assignment = Assignment::new(1, policy.parse().unwrap(), Roster::default());
            assert_eq!(assignment.owner(b"p/d"), None);
        }
    }

    #[test]
    fn a_fifth_member_takes_about_a_fifth_of_the_keys() {
        let assignment = |ids| Assignment::new(1, Policy::default(), roster(ids));
        let share = moved(&assignment(&[0, 1, 2, 3]), &assignment(&[0, 1, 2, 3, 4]));
        assert!((0.19..0.22).contains(&share), "{share}");
    }

    #[test]
    fn a_new_address_under_the_same_id_moves_nothing() {
        let before = Assignment::new(1, Policy::default(), roster(&[0, 1, 2]));
        let mut members = before.roster().members().to_vec();
        members[1].address.set_port(999);
        let after = Assignment::new(2, Policy::default(), Roster::new(members).unwrap());
        assert!(moved(&before, &after) == 0.0);
    }

    proptest! {
        #[test]
        fn every_hash_has_an_owner_of_the_roster(
            hash: u64,
            ids in proptest::collection::btree_set(0_u16..1000, 1..20),
            policy in prop_oneof![
                Just("maglev:251"), Just("ring_hash:16:64"), Just("ring_hash:16:64:murmur2")
            ],
        ) {
            let roster = roster(&ids.into_iter().collect::<Vec<_>>());
            let assignment = Assignment::new(1, policy.parse().unwrap(), roster);
            let owner = assignment.owner_of_hash(hash).unwrap();
            prop_assert_eq!(assignment.roster().get(&owner.member.id), Some(owner.member));
        }
    }
}
