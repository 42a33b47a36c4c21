//! Bounded caches whose entries never grow old, as in the real server. That a
//! stale entry stays until it is pushed out is the point, not an oversight.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

/// How many entries a cache holds.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// A least-recently-used cache of clonable values.
#[derive(Debug)]
pub(crate) struct Cache<K: Hash + Eq, V>(Mutex<LruCache<K, V>>);

impl<K: Hash + Eq, V: Clone> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CAPACITY)))
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.entries().get(key).cloned()
    }

    /// Puts a value in place of the old one.
    pub(crate) fn put(&self, key: K, value: V) {
        self.entries().put(key, value);
    }

    /// Forgets a key; whether it was there.
    pub(crate) fn remove(&self, key: &K) -> bool {
        self.entries().pop(key).is_some()
    }

    /// The value of a key, made when there is none.
    pub(crate) fn get_or_insert(&self, key: K, make: impl FnOnce() -> V) -> V {
        self.entries().get_or_insert(key, make).clone()
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, LruCache<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
