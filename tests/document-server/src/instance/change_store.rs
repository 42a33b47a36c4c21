//! The changes of one document that an instance has seen. What was read or
//! written once is never asked of the store again, even if it was overwritten
//! there since.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api;

/// A change with its place in the document's history.
pub(crate) type SharedChange = Arc<api::Change>;

/// Changes by server sequence, and which stretches of it are known.
#[derive(Debug, Default)]
pub(crate) struct ChangeStore {
    changes: BTreeMap<i64, SharedChange>,
    /// Disjoint, not adjacent: first to last.
    known: BTreeMap<i64, i64>,
}

impl ChangeStore {
    /// Adds changes or puts them in the place of others.
    pub(crate) fn put(&mut self, changes: impl IntoIterator<Item = SharedChange>) {
        self.changes.extend(
            changes
                .into_iter()
                .map(|change| (server_seq(&change), change)),
        );
    }

    /// Marks a stretch as known, also where it has holes.
    pub(crate) fn mark_known(&mut self, mut first: i64, mut last: i64) {
        if first > last {
            return;
        }
        let touching: Vec<(i64, i64)> = self
            .known
            .range(..=last.saturating_add(1))
            .filter(|(_, end)| end.saturating_add(1) >= first)
            .map(|(start, end)| (*start, *end))
            .collect();
        for (start, end) in touching {
            self.known.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.known.insert(first, last);
    }

    /// The stretches within these bounds that are not known.
    #[must_use]
    pub(crate) fn missing(&self, first: i64, last: i64) -> Vec<(i64, i64)> {
        let mut missing = Vec::new();
        let mut next = first;
        for (start, end) in self.known.range(..=last) {
            if *end < next {
                continue;
            }
            if *start > next {
                missing.push((next, start - 1));
            }
            next = end + 1;
        }
        if next <= last {
            missing.push((next, last));
        }
        missing
    }

    /// The changes within these bounds, in order.
    #[must_use]
    pub(crate) fn between(&self, first: i64, last: i64) -> Vec<SharedChange> {
        if first > last {
            return Vec::new();
        }
        self.changes
            .range(first..=last)
            .map(|(_, change)| Arc::clone(change))
            .collect()
    }

    /// Forgets an actor's presence, but for the change that cleared it.
    pub(crate) fn forget_presence_of(&mut self, actor: &[u8]) {
        let clear = api::presence_change::ChangeType::Clear;
        self.changes.retain(|_, change| {
            let cleared = change
                .presence_change
                .as_ref()
                .is_some_and(|p| p.r#type() == clear);
            cleared || change.id.as_ref().is_none_or(|id| id.actor_id != actor)
        });
    }
}

/// The number a change has in its document.
#[must_use]
pub(crate) fn server_seq(change: &api::Change) -> i64 {
    change.id.as_ref().map_or(0, |id| id.server_seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_grow_together() {
        let mut store = ChangeStore::default();
        store.mark_known(1, 2);
        store.mark_known(5, 6);
        assert_eq!(store.missing(1, 8), [(3, 4), (7, 8)]);
        store.mark_known(3, 4);
        assert_eq!(store.known, BTreeMap::from([(1, 6)]));
        assert_eq!(store.missing(2, 6), []);
        assert_eq!(store.missing(0, 7), [(0, 0), (7, 7)]);
    }

    #[test]
    fn overlaps_and_nothing_at_all() {
        let mut store = ChangeStore::default();
        assert_eq!(store.missing(1, 3), [(1, 3)]);
        assert_eq!(store.missing(3, 1), []);
        store.mark_known(2, 9);
        store.mark_known(4, 5);
        store.mark_known(8, 12);
        assert_eq!(store.known, BTreeMap::from([(2, 12)]));
    }
}
