//! Responses that a proxy has not answered yet.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::snapshot::Published;

/// Responses that a proxy may leave unanswered before the oldest are counted
/// as one. Nothing is lost by it: an answer also speaks for those before it.
const MAX_UNANSWERED: usize = 64;

/// The resources of one response.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) resources: Vec<Published>,
    /// Whether it repeats a single one of a response that was refused.
    pub(crate) retry: bool,
}

/// A response on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) nonce: String,
    pub(crate) version: Arc<str>,
    /// Whether what is not in it does not exist.
    pub(crate) complete: bool,
    /// How many resources are in it.
    pub(crate) size: usize,
    /// See [`Group::retry`].
    pub(crate) retry: bool,
    /// What it sets (`Some` version) and what it removes, but for what the proxy
    /// has dropped or asked for again since.
    pub(crate) items: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// Those of one type, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Flights(VecDeque<Flight>);

impl Flights {
    /// Whether that is the nonce of the latest, or there is none.
    pub(crate) fn none_after(&self, nonce: &str) -> bool {
        self.0.back().is_none_or(|latest| latest.nonce == nonce)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is a retry.
    pub(crate) fn has_retry(&self) -> bool {
        self.0.iter().any(|flight| flight.retry)
    }

    /// The names of all that is on its way.
    pub(crate) fn names(&self) -> BTreeSet<Arc<str>> {
        let items = self.0.iter().flat_map(|flight| &flight.items);
        items.map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Takes out the one with that nonce, as the last, and those before it.
    pub(crate) fn take_through(&mut self, nonce: &str) -> Option<Vec<Flight>> {
        let index = self.0.iter().position(|flight| flight.nonce == nonce)?;
        let taken = self.0.drain(..=index).collect();
        if self.0.is_empty() {
            // Thousands of streams are at rest most of the time.
            self.0 = VecDeque::new();
        }
        Some(taken)
    }

    /// Adds the latest.
    pub(crate) fn push(&mut self, flight: Flight) {
        self.0.push_back(flight);
        if self.0.len() > MAX_UNANSWERED
            && let Some(oldest) = self.0.pop_front()
            && let Some(next) = self.0.front_mut()
            && !next.complete
        {
            next.size += oldest.size;
            next.retry |= oldest.retry;
            let later: BTreeSet<_> = next.items.iter().map(|(name, _)| name.clone()).collect();
            let earlier = oldest.items.into_iter();
            next.items
                .extend(earlier.filter(|(name, _)| !later.contains(name)));
        }
    }

    /// Lets the answers say nothing of the names that `keep` is false for.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Arc<str>) -> bool) {
        for flight in &mut self.0 {
            flight.items.retain(|(name, _)| keep(name));
        }
    }
}
