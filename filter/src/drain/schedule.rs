//! When which stream is ended.

use std::collections::VecDeque;
use std::time::Duration;

/// Most streams that are ended in one call of the VM: Envoy ends them inside
/// of each other.
pub const BATCH: usize = 32;

/// To the next batch while streams are overdue.
const OVERDUE: Duration = Duration::from_millis(1);

/// Least time to the next batch otherwise, so that a long window costs few
/// calls of the VM.
const STEP: Duration = Duration::from_millis(4);

/// The permission to end streams that moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// When it arrived.
    pub since: Duration,
    /// Over how long the ends are spread.
    pub window: Duration,
}

impl Release {
    /// When the streams of the key with that hash end. It depends on nothing
    /// else, so all watchers of a document leave together, whatever worker and
    /// proxy they are on, and those of different documents one after another.
    #[must_use]
    pub fn moment(&self, hash: u64) -> Duration {
        let window = u64::try_from(self.window.as_nanos()).unwrap_or(u64::MAX);
        let share = (u128::from(window) * u128::from(mix(hash))) >> 64;
        // Less than the window, which was 64 bits.
        self.since + Duration::from_nanos(share as u64)
    }
}

/// Spreads hashes evenly again: those of keys that moved lie close together on
/// a ring (finalizer of `SplitMix64`, Steele et al., OOPSLA 2014).
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Streams in the order of their ends.
#[derive(Debug, Default)]
pub struct Queue {
    ends: VecDeque<(Duration, u32)>,
}

impl Queue {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ends: VecDeque::new(),
        }
    }

    /// Takes these streams, of id and hash, in place of those that it had.
    pub fn fill(&mut self, release: &Release, misplaced: impl Iterator<Item = (u32, u64)>) {
        self.ends.clear();
        self.ends
            .extend(misplaced.map(|(id, hash)| (release.moment(hash), id)));
        self.ends.make_contiguous().sort_unstable();
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.ends.clear();
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The next one whose moment has come.
    pub fn next(&mut self, now: Duration) -> Option<u32> {
        let (_, id) = self.ends.pop_front_if(|(moment, _)| *moment <= now)?;
        Some(id)
    }

    /// How long to wait for the next one; `None`: there is none.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        let (moment, _) = self.ends.front()?;
        Some(match moment.saturating_sub(now) {
            Duration::ZERO => OVERDUE,
            wait => wait.max(STEP),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sharding::xxh64;

    fn release(window_ms: u64) -> Release {
        Release {
            since: Duration::from_secs(9),
            window: Duration::from_millis(window_ms),
        }
    }

    impl Release {
        fn after(&self, hash: u64) -> Duration {
            self.moment(hash).saturating_sub(self.since)
        }
    }

    fn hash(number: u32) -> u64 {
        xxh64(format!("p/document-{number}").as_bytes(), 0)
    }

    #[test]
    fn without_a_window_everything_is_due_at_once() {
        let mut queue = Queue::new();
        let now = release(0).since;
        queue.fill(&release(0), (0..3).map(|id| (id, hash(id))));
        assert_eq!(queue.wait(now), Some(OVERDUE));
        assert_eq!([queue.next(now), queue.next(now)], [Some(0), Some(1)]);
        assert_eq!([queue.next(now), queue.next(now)], [Some(2), None]);
        assert_eq!(queue.wait(now), None);
    }

    #[test]
    fn documents_are_spread_evenly_over_the_window() {
        let release = release(1000);
        let mut tenths = [0; 10];
        for number in 0..10_000 {
            let after = release.after(hash(number));
            tenths[(after.as_millis() / 100) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|tenth| (900..1100).contains(tenth)),
            "{tenths:?}"
        );
    }

    #[test]
    fn neighbours_on_a_ring_are_spread_too() {
        let release = release(1000);
        let first_half = (0..1000)
            .map(|number| release.after((1 << 40) + number))
            .filter(|after| after.as_millis() < 500)
            .count();
        assert!((400..600).contains(&first_half), "{first_half}");
    }

    #[test]
    fn nobody_is_woken_long_before_the_next_end() {
        let mut queue = Queue::new();
        let release = release(60_000);
        queue.fill(&release, [(1, hash(1))].into_iter());
        let (moment, after) = (release.moment(hash(1)), release.after(hash(1)));
        assert_eq!(queue.wait(release.since), Some(after));
        let shortly_before = moment.saturating_sub(Duration::from_millis(1));
        assert_eq!(queue.wait(shortly_before), Some(STEP));
        assert_eq!(queue.wait(moment), Some(OVERDUE));
    }

    proptest! {
        #[test]
        fn every_stream_ends_once_within_the_window_and_with_its_document(
            window_ms in 0_u64..100_000,
            documents in proptest::collection::vec(0_u32..20, 0..100),
            step_ms in 1_u64..5_000,
        ) {
            let release = release(window_ms);
            let streams = || documents.iter().zip(0_u32..).map(|(number, id)| (id, hash(*number)));
            let mut queue = Queue::new();
            queue.fill(&release, streams());
            let mut now = release.since;
            let mut ended = std::collections::BTreeMap::new();
            while now <= release.since + release.window + Duration::from_millis(step_ms) {
                while let Some(id) = queue.next(now) {
                    prop_assert_eq!(ended.insert(id, now), None);
                }
                now += Duration::from_millis(step_ms);
            }
            prop_assert_eq!(ended.len(), documents.len());
            prop_assert!(queue.is_empty());
            for (id, hash) in streams() {
                prop_assert!(release.moment(hash) <= release.since + release.window);
                for (other, other_hash) in streams() {
                    prop_assert!(hash != other_hash || ended[&id] == ended[&other]);
                }
            }
        }

        #[test]
        fn the_moment_of_a_key_is_the_same_everywhere(hash: u64, window_ms in 0_u64..10_000, later in 0_u64..99) {
            let here = release(window_ms);
            let there = Release { since: here.since + Duration::from_secs(later), ..here };
            prop_assert_eq!(here.after(hash), there.after(hash));
        }
    }
}
