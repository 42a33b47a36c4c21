//! Maglev (Eisenbud et al., NSDI 2016), slot for slot as Envoy fills it
//! (`source/extensions/load_balancing_policies/maglev`, v1.36 to v1.40).

use crate::hash::xxh64;
use crate::member::Roster;

/// Largest table that Envoy accepts.
pub const MAX_TABLE_SIZE: u32 = 5_000_011;

/// Marks a slot that no member has taken yet; [`crate::MAX_MEMBERS`] keeps it
/// from being an index.
const EMPTY: u16 = u16::MAX;

/// A filled table: slot to index into the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maglev {
    slots: Vec<u16>,
}

/// One member's walk through its own permutation of the slots.
struct Walk {
    member: u16,
    /// The slot it would take next, unless taken.
    slot: u32,
    skip: u32,
    weight: f64,
    /// Turns it has had, in units of the largest weight.
    target: f64,
}

impl Maglev {
    /// Fills a table of `table_size` slots, a prime, for `roster`; an empty
    /// roster gives an empty table.
    ///
    /// Takes about `table_size * ln(table_size)` probes.
    #[must_use]
    pub fn new(table_size: u32, roster: &Roster) -> Self {
        let weights = roster.normalized_weights();
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let mut walks: Vec<Walk> = roster
            .members()
            .iter()
            .zip(weights)
            .zip(0..EMPTY)
            .map(|((member, weight), index)| Walk::new(index, &member.id, weight, table_size))
            .collect();
        if walks.is_empty() {
            return Self { slots: Vec::new() };
        }
        let mut slots = vec![EMPTY; table_size as usize];
        let mut unfilled = table_size;
        let mut iteration: u64 = 1;
        while unfilled > 0 {
            for walk in &mut walks {
                if unfilled == 0 {
                    break;
                }
                if iteration as f64 * walk.weight < walk.target {
                    continue;
                }
                // Envoy adds up in floating point, so a multiplication would round differently.
                walk.target += largest;
                walk.take_next(&mut slots, table_size);
                unfilled -= 1;
            }
            iteration += 1;
        }
        Self { slots }
    }

    /// The slot of a key's hash; `None` when the table is empty.
    #[must_use]
    pub fn slot(&self, hash: u64) -> Option<usize> {
        hash.checked_rem(self.slots.len() as u64)
            .map(|slot| slot as usize)
    }

    /// Roster index of the member in `slot`.
    #[must_use]
    pub fn member(&self, slot: usize) -> Option<usize> {
        self.slots.get(slot).map(|&index| usize::from(index))
    }

    /// Roster index of every slot, in slot order.
    #[must_use]
    pub fn members(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.slots.iter().map(|&index| usize::from(index))
    }
}

impl Walk {
    fn new(member: u16, hash_key: &str, weight: f64, table_size: u32) -> Self {
        let size = u64::from(table_size);
        Self {
            member,
            slot: (xxh64(hash_key.as_bytes(), 0) % size) as u32,
            skip: (xxh64(hash_key.as_bytes(), 1) % (size - 1) + 1) as u32,
            weight,
            target: 0.0,
        }
    }

    /// Takes the first free slot of the permutation. As the table size is
    /// prime the permutation meets every slot, so it ends while one is free.
    fn take_next(&mut self, slots: &mut [u16], table_size: u32) {
        loop {
            let taken = slots.get_mut(self.slot as usize);
            // Addition modulo the size: the next value of (offset + skip * n) % size without a division.
            self.slot += self.skip;
            if self.slot >= table_size {
                self.slot -= table_size;
            }
            if let Some(slot) = taken
                && *slot == EMPTY
            {
                *slot = self.member;
                return;
            }
        }
    }
}

/// Whether `n` is prime, by trial division: at most 1118 divisions for the
/// largest table.
pub(crate) fn is_prime(n: u32) -> bool {
    n >= 2
        && (2..n)
            .take_while(|divisor| divisor * divisor <= n)
            .all(|divisor| !n.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;
    use proptest::prelude::*;

    /// A roster whose ids are the addresses, as Envoy's own tests have it.
    fn by_address(weights: &[u32]) -> Roster {
        let members = weights
            .iter()
            .zip(90..)
            .map(|(&weight, port)| member(&format!("127.0.0.1:{port}"), port, weight));
        Roster::new(members.collect()).unwrap()
    }

    fn table(size: u32, weights: &[u32]) -> Vec<usize> {
        Maglev::new(size, &by_address(weights)).members().collect()
    }

    #[test]
    fn slots_equal_those_of_envoys_own_test() {
        assert_eq!(table(7, &[1; 6]), [2, 4, 0, 1, 5, 0, 3]);
    }

    #[test]
    fn weighted_slots_equal_those_of_envoys_own_test() {
        assert_eq!(
            table(17, &[1, 2]),
            [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]
        );
    }

    #[test]
    fn a_table_of_nobody_has_no_slots() {
        let empty = Maglev::new(65_537, &Roster::default());
        assert_eq!(empty.slot(7), None);
        assert_eq!(empty.members().len(), 0);
    }

    #[test]
    fn the_largest_table_fills() {
        let slots = table(MAX_TABLE_SIZE, &[3, 1]);
        let first = slots.iter().filter(|&&index| index == 0).count() as f64;
        assert!((first / f64::from(MAX_TABLE_SIZE) - 0.75).abs() < 1e-6);
    }

    #[test]
    fn primes_are_told_from_composites() {
        let primes: Vec<u32> = (0..30).filter(|&n| is_prime(n)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
        assert!(is_prime(65_537) && is_prime(5_000_011));
        assert!(!is_prime(65_535) && !is_prime(4_999_999 * 2));
    }

    /// The algorithm as written down in Envoy, multiplication and all, to hold
    /// the fast walk against.
    fn by_the_book(table_size: u64, roster: &Roster) -> Vec<usize> {
        let weights = roster.normalized_weights();
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let mut table = vec![usize::MAX; table_size as usize];
        let mut next = vec![0_u64; weights.len()];
        let mut target = vec![0.0; weights.len()];
        let (mut filled, mut iteration) = (0, 1_u64);
        while filled < table_size {
            for (i, member) in roster.members().iter().enumerate() {
                if filled == table_size {
                    break;
                }
                if (iteration as f64) * weights[i] < target[i] {
                    continue;
                }
                target[i] += largest;
                let offset = xxh64(member.id.as_bytes(), 0) % table_size;
                let skip = xxh64(member.id.as_bytes(), 1) % (table_size - 1) + 1;
                let mut slot = (offset + skip * next[i]) % table_size;
                while table[slot as usize] != usize::MAX {
                    next[i] += 1;
                    slot = (offset + skip * next[i]) % table_size;
                }
                table[slot as usize] = i;
                next[i] += 1;
                filled += 1;
            }
            iteration += 1;
        }
        table
    }

    proptest! {
        #[test]
        fn the_fast_walk_fills_the_same_table(
            weights in proptest::collection::vec(1_u32..1000, 1..30),
            size in prop_oneof![Just(2_u32), Just(7), Just(17), Just(251), Just(65_537)],
        ) {
            let roster = by_address(&weights);
            prop_assert_eq!(
                Maglev::new(size, &roster).members().collect::<Vec<_>>(),
                by_the_book(u64::from(size), &roster)
            );
        }
    }
}
