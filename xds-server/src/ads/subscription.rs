//! Which resources of one type a proxy is interested in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::snapshot::{Audience, Published};

/// The name that stands for every resource of the type.
pub(crate) const WILDCARD: &str = "*";

/// Most bytes of names that one subscription remembers, so that no proxy can
/// fill the memory with names of things that never exist. Ten thousand names of
/// usual length fit; there are about ten.
const MAX_BYTES: usize = 1 << 20;

/// What the set itself needs for a name, roughly.
const OVERHEAD: usize = 64;

/// All resources of a type, or those of some names, or both.
#[derive(Debug, Clone, Default)]
pub struct Subscription {
    all: bool,
    names: BTreeSet<Arc<str>>,
    bytes: usize,
    reads_hash_key: bool,
}

impl Subscription {
    /// Whether a resource of that name can belong to it.
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
        let wanted = all.into_iter().flatten().chain(named.into_iter().flatten());
        wanted.filter(|resource| self.is_for(resource))
    }

    /// The resource of that name, if it belongs to it.
    pub(crate) fn find<'a>(
        &self,
        resources: &'a BTreeMap<Arc<str>, Published>,
        name: &str,
    ) -> Option<&'a Published> {
        let resource = resources.get(name).filter(|_| self.wants(name))?;
        self.is_for(resource).then_some(resource)
    }

    /// A resource that it names and that is not for it, since its client does not
    /// place members by their hash key.
    pub(crate) fn denied<'a>(
        &self,
        resources: &'a BTreeMap<Arc<str>, Published>,
    ) -> Option<&'a Published> {
        let mut named = resources.values().filter(|r| self.names(r.name()));
        named.find(|resource| !self.is_for(resource))
    }

    fn is_for(&self, resource: &Published) -> bool {
        match resource.audience() {
            Audience::Everybody => true,
            Audience::ByName => self.names(resource.name()),
            Audience::ByNameWithHashKey => self.names(resource.name()) && self.reads_hash_key,
        }
    }

    /// Takes it out and leaves one of nothing, of the same client.
    pub(crate) fn take(&mut self) -> Self {
        let nothing = Self {
            reads_hash_key: self.reads_hash_key,
            ..Self::default()
        };
        std::mem::replace(self, nothing)
    }

    /// Says whether the client places members by their hash key, see
    /// [`Audience::ByNameWithHashKey`].
    pub(crate) fn set_reads_hash_key(&mut self, reads: bool) {
        self.reads_hash_key = reads;
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
