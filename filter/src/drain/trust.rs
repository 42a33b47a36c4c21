//! Whether what the filter predicts is what Envoy does. Where it is not,
//! ending a stream would bring its client back to the same server, for ever.

use std::time::Duration;

/// How long predictions may be wrong before draining stops for good. Requests
/// that overtake an assignment, because their worker knows the new members
/// already and the filter not yet, are wrong for milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// So many different requests in a row have to be where they were predicted
/// before an assignment is believed after a stop: one may be so by chance.
pub const ENOUGH_PROOFS: u64 = 8;

/// What is known of the predictions under the assignment in use.
#[derive(Debug, Default)]
pub struct Trust {
    /// Since when something has contradicted them without a break.
    wrong_since: Option<Duration>,
    /// Whether the last unary call that was looked at contradicts them.
    last_call_is_wrong: bool,
    /// Whether any open stream does.
    open_is_wrong: bool,
    /// Requests under this assignment that were where they were predicted, since
    /// the last that was not.
    proofs: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Good,
    /// They were wrong for too long.
    Stopped,
    /// As before, under another assignment: this one has to be right first.
    Probation,
}

impl Trust {
    /// Nothing speaks against them yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wrong_since: None,
            last_call_is_wrong: false,
            open_is_wrong: false,
            proofs: 0,
            state: State::Good,
        }
    }

    /// Another assignment is in use. `is_tested`: requests will show whether it
    /// is right. A VM that gets none any more could wait for that for ever.
    /// `is_doubted`: what contradicted the last one is not where this one says,
    /// either.
    pub fn renew(&mut self, is_tested: bool, is_doubted: bool) {
        let has_to_prove = is_tested && (self.has_stopped() || is_doubted);
        *self = Self {
            state: if has_to_prove {
                State::Probation
            } else {
                State::Good
            },
            ..Self::new()
        };
    }

    /// Whether anything contradicts the assignment in use.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        self.wrong_since.is_some()
    }

    /// A unary call under this assignment was answered.
    pub fn call(&mut self, is_right: bool, now: Duration) {
        self.last_call_is_wrong = !is_right;
        self.proofs += u64::from(is_right);
        self.weigh(!is_right, now);
    }

    /// A stream under this assignment was answered.
    pub fn stream(&mut self, is_right: bool, now: Duration) {
        self.open_is_wrong |= !is_right;
        self.proofs += u64::from(is_right);
        self.weigh(!is_right, now);
    }

    /// All open streams under this assignment were looked at.
    pub fn all(&mut self, right: u64, some_wrong: bool, now: Duration) {
        self.open_is_wrong = some_wrong;
        self.proofs = self.proofs.max(right);
        self.weigh(some_wrong, now);
    }

    /// One call that went wrong is a reason to wait for the next. It takes one
    /// more after the patience, or a stream, to stop.
    fn weigh(&mut self, some_wrong: bool, now: Duration) {
        if some_wrong {
            self.proofs = 0;
        }
        if self.last_call_is_wrong || self.open_is_wrong {
            let since = *self.wrong_since.get_or_insert(now);
            if some_wrong && now.saturating_sub(since) >= PATIENCE {
                self.state = State::Stopped;
            }
        } else {
            self.wrong_since = None;
            if self.proofs >= ENOUGH_PROOFS && self.state == State::Probation {
                self.state = State::Good;
            }
        }
    }

    /// Whether streams may be ended.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.state == State::Good && self.wrong_since.is_none()
    }

    /// Whether draining has stopped, until another assignment proves right.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.state != State::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOMENT: Duration = Duration::from_millis(10);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_is_held_against_predictions_that_nobody_has_tested() {
        assert!(Trust::new().is_good());
    }

    #[test]
    fn one_wrong_stream_pauses_at_once_and_its_end_lets_go_on() {
        let mut trust = Trust::new();
        trust.stream(false, at(5));
        assert!(!trust.is_good() && !trust.has_stopped());
        trust.all(1, true, at(1000));
        assert!(!trust.is_good());
        trust.all(1, false, at(2000));
        assert!(trust.is_good());
    }

    #[test]
    fn a_wrong_call_counts_until_another_is_right() {
        let mut trust = Trust::new();
        trust.call(false, at(0));
        trust.all(0, false, at(1000));
        assert!(!trust.is_good());
        trust.call(true, at(1100));
        assert!(trust.is_good());
    }

    #[test]
    fn what_stays_wrong_stops_it_for_this_assignment() {
        let mut trust = Trust::new();
        trust.stream(false, at(0));
        trust.all(0, true, PATIENCE.saturating_sub(MOMENT));
        assert!(!trust.has_stopped());
        trust.all(0, true, PATIENCE);
        assert!(trust.has_stopped());
        trust.all(9, false, PATIENCE * 2);
        trust.call(true, PATIENCE * 3);
        assert!(trust.has_stopped() && !trust.is_good());
    }

    #[test]
    fn after_a_stop_the_next_assignment_has_to_be_right_first() {
        let mut trust = Trust::new();
        trust.stream(false, at(0));
        trust.all(0, true, PATIENCE);
        trust.renew(true, false);
        trust.all(0, false, PATIENCE * 2);
        assert!(trust.has_stopped() && !trust.is_good());
        trust.renew(true, false);
        for _ in 1..ENOUGH_PROOFS {
            trust.call(true, PATIENCE * 3);
        }
        assert!(trust.has_stopped());
        trust.call(true, PATIENCE * 3);
        assert!(!trust.has_stopped() && trust.is_good());
    }

    #[test]
    fn where_no_request_comes_any_more_another_assignment_is_believed() {
        let mut trust = Trust::new();
        trust.stream(false, at(0));
        trust.all(0, true, PATIENCE);
        trust.renew(false, true);
        assert!(trust.is_good());
    }

    #[test]
    fn one_wrong_call_pauses_for_as_long_as_there_is_no_other_but_stops_nothing() {
        let mut trust = Trust::new();
        trust.call(false, at(0));
        trust.all(0, false, PATIENCE * 9);
        assert!(!trust.is_good() && !trust.has_stopped());
        trust.call(false, PATIENCE * 10);
        assert!(trust.has_stopped());
    }

    #[test]
    fn another_assignment_forgets_what_was_wrong_before() {
        let mut trust = Trust::new();
        trust.stream(false, at(0));
        trust.call(false, at(0));
        trust.renew(true, false);
        assert!(trust.is_good());
    }

    proptest! {
        #[test]
        fn it_stops_only_after_lasting_contradiction_and_never_drains_during_one(
            events in proptest::collection::vec((0_u64..900, any::<bool>()), 0..60),
        ) {
            let mut trust = Trust::new();
            let (mut now, mut wrong_since) = (Duration::ZERO, None);
            for (pause, is_wrong) in events {
                now += at(pause);
                trust.all(u64::from(!is_wrong), is_wrong, now);
                wrong_since = is_wrong.then(|| wrong_since.unwrap_or(now));
                let lasts = wrong_since.is_some_and(|since| now.saturating_sub(since) >= PATIENCE);
                prop_assert!(!lasts || trust.has_stopped());
                prop_assert!(wrong_since.is_none() || !trust.is_good());
                if trust.has_stopped() {
                    prop_assert!(lasts);
                    break;
                }
            }
        }
    }
}
