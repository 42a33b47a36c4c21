//! When to ask a source again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Bounds of the pause between two attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Pace {
    /// As long as the answer may be kept, within the bounds.
    pub(super) fn after_answer(self, ttl: Duration) -> Duration {
        // Not `clamp`, which panics should the bounds be the wrong way round.
        ttl.min(self.max).max(self.min)
    }

    /// Twice as long after each failure in a row, within the bounds.
    pub(super) fn after_failures(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.after_answer(self.min.saturating_mul(1 << doublings))
    }

    /// The same, less up to half of it by chance: whoever lost the same server
    /// at the same moment does not come back to it at the same moment.
    pub(super) fn about_after_failures(self, failures: u32) -> Duration {
        let pause = self.after_failures(failures);
        let chance = RandomState::new().hash_one(failures) >> 32;
        pause.mul_f64(1.0 - chance as f64 / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        min: Duration::from_millis(250),
        max: Duration::from_secs(1),
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_ttl_counts_within_the_bounds() {
        for (ttl, pause) in [
            (0, 250),
            (250, 250),
            (600, 600),
            (1000, 1000),
            (600_000, 1000),
        ] {
            assert_eq!(PACE.after_answer(ms(ttl)), ms(pause));
        }
    }

    #[test]
    fn failures_are_tried_again_soon_and_then_less_often() {
        for (failures, pause) in [(1, 250), (2, 500), (3, 1000), (4, 1000), (u32::MAX, 1000)] {
            assert_eq!(PACE.after_failures(failures), ms(pause));
        }
        let slow = Pace {
            max: Duration::from_hours(1),
            ..PACE
        };
        assert_eq!(slow.after_failures(7), ms(16_000));
        assert_eq!(slow.after_failures(u32::MAX), Duration::from_hours(1));
    }

    #[test]
    fn by_chance_it_is_up_to_half_as_long() {
        let all: Vec<_> = (0..1000).map(|_| PACE.about_after_failures(3)).collect();
        assert!(all.iter().all(|pause| (ms(500)..=ms(1000)).contains(pause)));
        let is_spread =
            |bounds: std::ops::Range<Duration>| all.iter().any(|pause| bounds.contains(pause));
        assert!(is_spread(ms(500)..ms(600)) && is_spread(ms(900)..ms(1000)));
    }
}
