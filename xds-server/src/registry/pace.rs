//! When to ask a source again.

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
}
