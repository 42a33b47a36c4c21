//! What of one type a stream has, with its content.

use std::sync::Arc;

use crate::ads::{Holding, Reached};
use crate::snapshot::{Published, ResourceType, Snapshot};

/// A resource that a proxy has, or was sent.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its name.
    pub name: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// How far it has come.
    pub reached: Reached,
    /// The resource itself. Absent if the proxy brought it along and it is not
    /// what is served now.
    pub resource: Option<Published>,
}

/// All of one type. What is not served any more is kept while a proxy has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Keep(Vec<Kept>);

impl Keep {
    /// Takes in what the proxy has now; contents are found in `snapshot`, or
    /// are known already.
    pub(super) fn update(&mut self, kind: ResourceType, holding: Holding<'_>, snapshot: &Snapshot) {
        let now = holding.resources();
        let is_same = now.len() == self.0.len()
            && now
                .iter()
                .zip(&self.0)
                .all(|(&(name, version, reached), kept)| {
                    *name == kept.name && *version == kept.version && reached == kept.reached
                });
        if is_same {
            return;
        }
        let before = std::mem::take(&mut self.0);
        let is = |name: &Arc<str>, version: &Arc<str>, published: &Published| {
            published.name() == name && published.version() == version
        };
        let known = |name: &Arc<str>, version: &Arc<str>| {
            let served = snapshot.of(kind).get(name);
            let kept = || before.iter().filter_map(|kept| kept.resource.as_ref());
            served
                .filter(|served| is(name, version, served))
                .or_else(|| kept().find(|kept| is(name, version, kept)))
                .cloned()
        };
        let kept = now.into_iter().map(|(name, version, reached)| Kept {
            name: Arc::clone(name),
            version: Arc::clone(version),
            reached,
            resource: known(name, version),
        });
        self.0 = kept.collect();
    }

    pub(super) fn all(&self) -> &[Kept] {
        &self.0
    }

    /// Whether there is any that has come just so far.
    pub(super) fn has(&self, reached: Reached) -> bool {
        self.0.iter().any(|kept| kept.reached == reached)
    }
}
