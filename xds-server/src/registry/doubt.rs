//! Silence of many at once.
//!
//! Members that have to be heard of again and again are not heard of when they
//! are gone, and neither when it is the network that is, or the database that
//! their signs of life go through. Servers seldom end together, so the silence
//! of most of them is not taken for their end at once.

use std::time::{Duration, Instant};

/// Since when silence is not believed.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    since: Option<Instant>,
}

/// How many members there are, and how many of them are not heard of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) all: usize,
    /// Those that should have been heard of again, the silent among them.
    pub(super) late: usize,
    /// Those that have not been heard of for as long as a member may be.
    pub(super) silent: usize,
}

impl Doubt {
    /// Whether the silent are to stay members.
    ///
    /// When some fall silent while more than half of all are late, two at least,
    /// they stay until `hold` is over, so that each can be heard of again. That
    /// time begins when somebody is heard of: while nobody is, all stay.
    pub(super) fn keeps(&mut self, heard: Heard, hold: Duration, now: Instant) -> bool {
        let Heard { all, late, silent } = heard;
        if silent == 0 {
            self.since = None;
            return false;
        }
        if silent == all || (self.since.is_none() && late > 1 && late * 2 > all) {
            self.since = Some(now);
        }
        let is_over = |since| now.saturating_duration_since(since) >= hold;
        if self.since.is_none_or(is_over) {
            self.since = None;
            return false;
        }
        true
    }

    /// A time in which nobody could be heard, and that so does not count.
    pub(super) fn skip(&mut self, absent: Duration) {
        self.since = self.since.map(|since| since + absent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(10);

    /// A doubt, and what it says of `(late, silent)` of so many at a second.
    fn doubt(all: usize) -> impl FnMut(u64, usize, usize) -> bool {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        move |second, late, silent| {
            let heard = Heard { all, late, silent };
            doubt.keeps(heard, HOLD, start + Duration::from_secs(second))
        }
    }

    #[test]
    fn one_or_half_of_them_may_go() {
        let mut of_two = doubt(2);
        assert!(!of_two(0, 1, 1));
        let mut of_four = doubt(4);
        assert!(!of_four(0, 2, 1));
        assert!(!of_four(1, 2, 2));
    }

    #[test]
    fn most_of_them_stay_from_the_first_that_is_silent_until_the_time_is_over() {
        let mut keeps = doubt(5);
        assert!(!keeps(0, 4, 0));
        assert!(keeps(1, 3, 1));
        assert!(keeps(5, 4, 4));
        assert!(keeps(10, 3, 3));
        assert!(!keeps(11, 3, 3));
    }

    #[test]
    fn whoever_comes_back_later_than_others_is_waited_for() {
        let mut keeps = doubt(5);
        assert!(keeps(0, 4, 4));
        assert!(keeps(5, 1, 1));
        assert!(!keeps(6, 0, 0));
        // It is over: the next is somebody on its own.
        assert!(!keeps(7, 1, 1));
    }

    #[test]
    fn a_time_that_does_not_count_is_added() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        let heard = Heard {
            all: 3,
            late: 2,
            silent: 2,
        };
        assert!(doubt.keeps(heard, HOLD, start));
        doubt.skip(HOLD);
        assert!(doubt.keeps(heard, HOLD, start + HOLD));
        assert!(!doubt.keeps(heard, HOLD, start + 2 * HOLD));
    }

    #[test]
    fn while_nobody_is_heard_of_no_time_passes() {
        for all in [1, 2, 5] {
            let mut keeps = doubt(all);
            assert!(keeps(0, all, all));
            assert!(keeps(1000, all, all));
            if all > 1 {
                assert!(keeps(1009, all - 1, all - 1));
                assert!(!keeps(1010, all - 1, all - 1));
            }
        }
    }
}
