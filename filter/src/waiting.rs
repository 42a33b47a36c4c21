//! Requests that are held back until enough of their body has come. A client
//! that never sends it would hold them, and what Envoy keeps for them, for as
//! long as it likes, so [`Vm::tick`](crate::state::Vm::tick) refuses those that
//! wait too long. Pure.
//!
//! The limit is for the whole wait: a body that trickles in ends no later than
//! one that does not come at all. To ask for the time costs a host call, so
//! only ticks do: the wait counts from the first tick that finds the request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::rpc::Protocol;

/// Most requests that one tick refuses: Envoy sends such replies one within
/// the other, and its stack has an end.
pub const MOST_AT_ONCE: usize = 32;

/// The requests of one VM that wait.
#[derive(Debug, Default)]
pub struct Waiting(RefCell<BTreeMap<u32, Request>>);

/// What an answer to one takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What its caller speaks.
    pub protocol: Protocol,
    /// How long it may wait.
    pub limit: Duration,
    /// The first tick that found it.
    since: Option<Duration>,
}

impl Waiting {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(RefCell::new(BTreeMap::new()))
    }

    /// The request of that context begins to wait.
    pub fn add(&self, context: u32, protocol: Protocol, limit: Duration) {
        let request = Request {
            protocol,
            limit,
            since: None,
        };
        self.0.borrow_mut().insert(context, request);
    }

    /// It waits no longer.
    pub fn remove(&self, context: u32) {
        self.0.borrow_mut().remove(&context);
    }

    /// Whether it still waits.
    #[must_use]
    pub fn contains(&self, context: u32) -> bool {
        self.0.borrow().contains_key(&context)
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Removes those that have waited too long, by a clock that never goes
    /// back: [`MOST_AT_ONCE`] of them, and all others are seen.
    pub fn take_overdue(&self, now: Duration) -> Vec<(u32, Request)> {
        let mut requests = self.0.borrow_mut();
        let mut overdue = Vec::new();
        requests.retain(|context, request| {
            let since = *request.since.get_or_insert(now);
            let is_overdue = now.saturating_sub(since) >= request.limit;
            let is_taken = is_overdue && overdue.len() < MOST_AT_ONCE;
            if is_taken {
                overdue.push((*context, *request));
            }
            !is_taken
        });
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn taken(waiting: &Waiting, seconds: u64) -> Vec<u32> {
        let overdue = waiting.take_overdue(Duration::from_secs(seconds));
        overdue.into_iter().map(|(context, _)| context).collect()
    }

    #[test]
    fn a_request_is_overdue_once_its_limit_has_passed_since_it_was_first_seen() {
        let waiting = Waiting::new();
        waiting.add(1, Protocol::Http, LIMIT);
        assert!(taken(&waiting, 100).is_empty());
        waiting.add(2, Protocol::Http, LIMIT);
        assert!(taken(&waiting, 109).is_empty());
        assert_eq!(taken(&waiting, 110), [1]);
        assert!(!waiting.contains(1) && waiting.contains(2));
        assert_eq!(taken(&waiting, 119), [2]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_is_removed_is_never_overdue() {
        let waiting = Waiting::new();
        waiting.add(1, Protocol::Http, LIMIT);
        taken(&waiting, 0);
        waiting.remove(1);
        waiting.remove(2);
        assert!(taken(&waiting, 99).is_empty());
    }

    #[test]
    fn few_are_taken_at_once_and_the_others_are_not_forgotten() {
        let waiting = Waiting::new();
        for context in 0..70 {
            waiting.add(context, Protocol::Http, LIMIT);
        }
        assert!(taken(&waiting, 0).is_empty());
        let sizes = [(); 4].map(|()| taken(&waiting, 10).len());
        assert_eq!(sizes, [MOST_AT_ONCE, MOST_AT_ONCE, 6, 0]);
    }
}
