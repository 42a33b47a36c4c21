//! State of the world: every request names all that the proxy wants of a type.
//!
//! Pure. Rules are those of the xDS protocol ("The xDS transport Protocol")
//! and, where it leaves a choice, what Envoy 1.36 to 1.40 does:
//! - CDS and LDS responses are complete. For the other types a proxy keeps what
//!   a response leaves out, so those carry only what is new or changed; a
//!   resource that the proxy refuses then holds up no other.
//! - `version_info` is a hash of all that the proxy wants, sent or not. A proxy
//!   whose first request shows the version that it would be sent has it all
//!   and is sent nothing, even if it got it from another process. What it has
//!   refused is hashed as such, so it is told again on its next stream.
//! - A proxy that drops names is sent the version of what is left (with no
//!   resource, where that means "unchanged"). If it kept the old one, it could
//!   come back for a dropped name and seem to have it.
//! - A newer version is sent while an older one is unanswered: a rebalance
//!   needs endpoints and filters to arrive back to back, at once. A request
//!   that was written before the latest response is ignored but for the
//!   verdict on its own; the proxy repeats its names when it answers.

use std::sync::Arc;

use crate::ads::message::{DiscoveryRequest, DiscoveryResponse, Node};
use crate::ads::progress::Progress;
use crate::ads::session::{self, StreamId, Turn, Types};
use crate::ads::subscription::WILDCARD;
use crate::snapshot::{Published, ResourceType, Snapshot, version_of};

/// One state-of-the-world stream.
#[derive(Debug)]
pub(crate) struct Session {
    types: Types,
    /// Types for which a name was ever given: without names means "none" now.
    ever_named: [bool; ResourceType::ALL.len()],
    /// The snapshot of the latest pass.
    last: Arc<Snapshot>,
}

impl Session {
    /// A stream that has seen no request. `only` restricts it to one type.
    pub(crate) fn new(stream: StreamId, identifier: &str, only: Option<ResourceType>) -> Self {
        Self {
            types: Types::new(stream, identifier, only),
            ever_named: Default::default(),
            last: Arc::default(),
        }
    }

    /// Replaces the names of `kind`; returns how many were refused.
    fn subscribe(&mut self, kind: ResourceType, names: Vec<String>) -> usize {
        let ever_named = &mut self.ever_named[kind as usize];
        *ever_named |= !names.is_empty();
        let legacy_wildcard = kind.is_full_state() && !*ever_named;
        let progress = self.types.of_mut(kind);
        let before = std::mem::take(&mut progress.subscription);
        let now = &mut progress.subscription;
        now.set_wildcard(legacy_wildcard);
        let mut refused = 0;
        for name in names {
            if name == WILDCARD {
                now.set_wildcard(true);
                continue;
            }
            let name: Arc<str> = name.into();
            if !now.add(&name) {
                refused += 1;
            } else if !before.names(&name) {
                progress.owed.insert(name);
                progress.report |= kind.is_full_state();
            }
        }
        if now.is_wildcard() && !before.is_wildcard() {
            progress.sent.clear();
            progress.report |= kind.is_full_state();
        }
        progress.report |= progress.forget_unwanted();
        refused
    }

    /// Takes for held what the proxy wants, if its first request shows the
    /// version of just that.
    fn adopt(&mut self, kind: ResourceType, version_info: &str, snapshot: &Snapshot) -> bool {
        let progress = self.types.of_mut(kind);
        let wanted = progress.subscription.wanted(snapshot.of(kind));
        let held: Vec<Published> = wanted.cloned().collect();
        let same = *version(held.iter(), |_| false) == *version_info;
        if same {
            for resource in held {
                progress.adopt(resource.name(), resource.version());
            }
            progress.report = false;
        }
        same
    }

    fn flush(&mut self, snapshot: &Arc<Snapshot>) -> Vec<DiscoveryResponse> {
        let postponed = self.clusters_to_keep_for_now(snapshot);
        let mut responses = Vec::new();
        for kind in ResourceType::ALL {
            let kept = match kind {
                ResourceType::Cluster => postponed.as_slice(),
                _ => &[],
            };
            responses.extend(self.push(kind, snapshot, kept));
            self.types.of_mut(kind).settle(kind, snapshot);
        }
        if !postponed.is_empty() {
            responses.extend(self.push(ResourceType::Cluster, snapshot, &[]));
        }
        self.last = Arc::clone(snapshot);
        responses
    }

    /// Clusters that are gone while listeners or routes change with them: the
    /// old routes may still name them, so they go in a second response, behind
    /// the new routes (xDS protocol, "Eventual consistency considerations").
    fn clusters_to_keep_for_now(&self, snapshot: &Snapshot) -> Vec<Published> {
        let changes = |kind: ResourceType| {
            let progress = self.types.of(kind);
            let resources = snapshot.of(kind);
            progress.due(resources).next().is_some() || !progress.gone(resources).is_empty()
        };
        if !changes(ResourceType::Listener) && !changes(ResourceType::Routes) {
            return Vec::new();
        }
        let kind = ResourceType::Cluster;
        let gone = self.types.of(kind).gone(snapshot.of(kind));
        gone.iter()
            .filter_map(|name| self.last.of(kind).get(name).cloned())
            .collect()
    }

    /// The response that is due for `kind`, with `kept` as if it still existed.
    fn push(
        &mut self,
        kind: ResourceType,
        snapshot: &Snapshot,
        kept: &[Published],
    ) -> Option<DiscoveryResponse> {
        let resources = snapshot.of(kind);
        let progress = self.types.of_mut(kind);
        if !progress.started {
            return None;
        }
        let complete = kind.is_full_state();
        let due: Vec<Published> = progress.due(resources).cloned().collect();
        let mut gone = progress.gone(resources);
        gone.retain(|name| kept.iter().all(|kept| kept.name() != name));
        for name in &gone {
            progress.forget(name);
            if !complete {
                progress.confirmed.remove(name);
            }
        }
        if due.is_empty() && !progress.report && (gone.is_empty() || !complete) {
            return None;
        }
        let wanted = || progress.subscription.wanted(resources).chain(kept);
        let included: Vec<Published> = if complete {
            wanted().cloned().collect()
        } else {
            due.clone()
        };
        let version = version(wanted(), |resource| {
            !complete && is_rejected(progress, resource) && !progress.owed.contains(resource.name())
        });
        self.types.owe_dependents(&due);
        let nonce = self.types.nonce();
        let response = DiscoveryResponse {
            version_info: version.to_string(),
            resources: included.iter().map(Published::any).collect(),
            type_url: kind.type_url().to_owned(),
            nonce: nonce.clone(),
            control_plane: Some(self.types.control_plane()),
        };
        let progress = self.types.of_mut(kind);
        progress.send(nonce, version, complete, included.iter());
        Some(response)
    }
}

impl session::Session for Session {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &mut DiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn type_url(request: &DiscoveryRequest) -> &str {
        &request.type_url
    }

    fn on_request(
        &mut self,
        request: DiscoveryRequest,
        snapshot: &Arc<Snapshot>,
    ) -> Turn<DiscoveryResponse> {
        let Some(kind) = self.types.resolve(&request.type_url) else {
            return Turn::ignored();
        };
        let progress = self.types.of_mut(kind);
        let first = !std::mem::replace(&mut progress.started, true);
        let fresh = progress.is_fresh(&request.response_nonce);
        let verdict = progress.answer(&request.response_nonce, request.error_detail);
        let mut refused = 0;
        if fresh {
            let owed_by_clusters = progress.owed.clone();
            progress.report |= first && kind.is_full_state();
            refused = self.subscribe(kind, request.resource_names);
            if first && self.adopt(kind, &request.version_info, snapshot) {
                self.types.of_mut(kind).owed = owed_by_clusters;
            }
        }
        Turn {
            kind: Some(kind),
            verdict,
            refused,
            responses: self.flush(snapshot),
        }
    }

    fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>) -> Vec<DiscoveryResponse> {
        self.flush(snapshot)
    }

    fn progress(&self, kind: ResourceType) -> &Progress {
        self.types.of(kind)
    }
}

fn is_rejected(progress: &Progress, resource: &Published) -> bool {
    progress.rejected.get(resource.name()) == Some(resource.version())
}

fn version<'a>(
    wanted: impl Iterator<Item = &'a Published>,
    is_refused: impl Fn(&Published) -> bool,
) -> Arc<str> {
    version_of(wanted.map(|resource| {
        let version = if is_refused(resource) {
            "refused"
        } else {
            resource.version()
        };
        (&**resource.name(), version)
    }))
}

#[cfg(test)]
mod tests;
