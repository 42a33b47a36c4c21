//! Ring hash ("ketama"), entry for entry as Envoy builds it
//! (`source/extensions/load_balancing_policies/ring_hash`, v1.36 to v1.40).

use crate::hash::{murmur2, xxh64};
use crate::member::Roster;
use crate::policy::HashFunction;

/// A point of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingEntry {
    /// Where on the ring.
    pub hash: u64,
    /// Index of its member in the roster.
    pub member: u16,
}

/// A built ring: entries ascending by hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashRing {
    entries: Vec<RingEntry>,
}

impl HashRing {
    /// Builds the ring of `roster` with `minimum` to `maximum` entries, about;
    /// an empty roster gives an empty ring.
    #[must_use]
    pub fn new(minimum: u32, maximum: u32, hash_function: HashFunction, roster: &Roster) -> Self {
        let hash = |bytes: &[u8]| match hash_function {
            HashFunction::XxHash => xxh64(bytes, 0),
            HashFunction::Murmur2 => murmur2(bytes),
        };
        let weights = roster.normalized_weights();
        let smallest = weights.iter().copied().fold(1.0, f64::min);
        // Scaled so that the lightest member gets a whole number of entries.
        let scale = ((smallest * f64::from(minimum)).ceil() / smallest).min(f64::from(maximum));
        let mut entries = Vec::with_capacity(scale.ceil() as usize);
        let (mut current, mut target) = (0.0, 0.0);
        for ((member, weight), index) in roster.members().iter().zip(weights).zip(0..u16::MAX) {
            target += scale * weight;
            let mut point = member.id.clone().into_bytes();
            point.push(b'_');
            let prefix = point.len();
            let mut n: u64 = 0;
            while current < target {
                point.truncate(prefix);
                point.extend_from_slice(n.to_string().as_bytes());
                entries.push(RingEntry {
                    hash: hash(&point),
                    member: index,
                });
                n += 1;
                current += 1.0;
            }
        }
        entries.sort_unstable();
        Self { entries }
    }

    /// Position of the entry that a key's hash falls to: the first at or above
    /// it, wrapping to the lowest; `None` when the ring is empty.
    #[must_use]
    pub fn position(&self, hash: u64) -> Option<usize> {
        let at = self.entries.partition_point(|entry| entry.hash < hash);
        match self.entries.len() {
            0 => None,
            len if at == len => Some(0),
            _ => Some(at),
        }
    }

    /// The entries, ascending by hash.
    #[must_use]
    pub fn entries(&self) -> &[RingEntry] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    fn ring(minimum: u32, weights: &[u32]) -> HashRing {
        let members = weights
            .iter()
            .zip(90..)
            .map(|(&weight, port)| member(&format!("127.0.0.1:{port}"), port, weight));
        let roster = Roster::new(members.collect()).unwrap();
        HashRing::new(minimum, 8_388_608, HashFunction::XxHash, &roster)
    }

    #[test]
    fn entries_equal_those_of_envoys_own_test() {
        let expected = [
            (94, 833_437_586_790_550_860),
            (92, 928_266_305_478_181_108),
            (90, 1_033_482_794_131_418_490),
            (95, 3_551_244_743_356_806_947),
            (93, 3_851_675_632_748_031_481),
            (91, 5_583_722_120_771_150_861),
            (91, 6_311_230_543_546_372_928),
            (93, 7_700_377_290_971_790_572),
            (95, 13_144_177_310_400_110_813),
            (92, 13_444_792_449_719_432_967),
            (94, 15_516_499_411_664_133_160),
            (90, 16_117_243_373_044_804_889),
        ]
        .map(|(port, hash)| RingEntry {
            hash,
            member: port - 90,
        });
        assert_eq!(ring(12, &[1; 6]).entries(), expected);
    }

    #[test]
    fn a_hash_falls_to_the_next_entry_and_wraps() {
        let ring = ring(12, &[1; 6]);
        let first = ring.entries()[0].hash;
        let last = ring.entries()[11].hash;
        assert_eq!(ring.position(0), Some(0));
        assert_eq!(ring.position(first), Some(0));
        assert_eq!(ring.position(first + 1), Some(1));
        assert_eq!(ring.position(last), Some(11));
        assert_eq!(ring.position(last + 1), Some(0));
        assert_eq!(ring.position(u64::MAX), Some(0));
    }

    #[test]
    fn entries_are_shared_out_by_weight() {
        let ring = ring(1024, &[1, 3]);
        let light = ring
            .entries()
            .iter()
            .filter(|entry| entry.member == 0)
            .count();
        assert_eq!((light, ring.entries().len()), (256, 1024));
    }

    #[test]
    fn the_maximum_bounds_the_ring_even_for_tiny_weights() {
        let members = vec![member("a", 1, 1), member("b", 2, 1_000_000)];
        let roster = Roster::new(members).unwrap();
        let ring = HashRing::new(1024, 2048, HashFunction::Murmur2, &roster);
        assert_eq!(ring.entries().len(), 2048);
    }

    #[test]
    fn a_ring_of_nobody_has_no_entries() {
        let ring = HashRing::new(1024, 4096, HashFunction::XxHash, &Roster::default());
        assert_eq!(ring.position(7), None);
    }
}
