//! Which resources of one type a proxy is interested in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::snapshot::Published;

/// The name that stands for every resource of the type.
pub(crate) const WILDCARD: &str = "*";

/// Most bytes of names that one subscription remembers, so that no proxy can
/// fill the memory with names of things that never exist. A hundred thousand
/// names of usual length fit.
const MAX_BYTES: usize = 16 << 20;

/// What the set itself needs for a name, roughly.
const OVERHEAD: usize = 64;

/// All resources of a type, or those of some names, or both.
#[derive(Debug, Clone, Default)]
pub struct Subscription {
    all: bool,
    names: BTreeSet<Arc<str>>,
    bytes: usize,
}

impl Subscription {
    /// Whether the resource of that name belongs to it.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }

    /// Those of `resources` that belong to it, by name.
    pub fn wanted<'a>(
        &'a self,
        resources: &'a BTreeMap<Arc<str>, Published>,
    ) -> impl Iterator<Item = &'a Published> {
        let all = self.all.then(|| resources.values());
        let named = (!self.all).then(|| self.names.iter().filter_map(|name| resources.get(name)));
        all.into_iter().flatten().chain(named.into_iter().flatten())
    }

    /// Whether it covers every resource of the type.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.all
    }

    /// Whether that name was given, which the wildcard alone does not do.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(crate) fn set_wildcard(&mut self, all: bool) {
        self.all = all;
    }

    /// Adds a name; `false` when there is no room for it.
    pub(crate) fn add(&mut self, name: &Arc<str>) -> bool {
        if self.names.contains(name) {
            return true;
        }
        let bytes = self.bytes + name.len() + OVERHEAD;
        if bytes > MAX_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.names.insert(Arc::clone(name))
    }

    /// Drops a name; `false` when it was not there.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let removed = self.names.remove(name);
        if removed {
            self.bytes -= name.len() + OVERHEAD;
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_refused_until_others_leave() {
        let mut subscription = Subscription::default();
        let long = |first: char| Arc::from(format!("{first}{}", "x".repeat(MAX_BYTES / 2)));
        assert!(subscription.add(&long('a')));
        assert!(!subscription.add(&long('b')));
        assert!(subscription.add(&long('a')), "it is there already");
        assert!(subscription.remove(&long('a')));
        assert!(!subscription.remove(&long('a')));
        assert!(subscription.add(&long('b')));
        assert!(!subscription.wants(&long('a')));
    }
}
