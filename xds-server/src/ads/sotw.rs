//! State of the world: every request names all that the proxy wants of a type.
//!
//! Pure. Rules are those of the xDS protocol ("The xDS transport Protocol")
//! and, where it leaves a choice, what Envoy 1.36 to 1.40 does:
//! - CDS and LDS responses are complete. For the other types a proxy keeps what
//!   a response leaves out, so those carry only what is new or changed; a
//!   resource that the proxy refuses then holds up no other.
//! - `version_info` is a hash of all that the proxy wants, sent or not. A proxy
//!   whose first request shows the version of all that it wants has it and is
//!   sent nothing, even if it got it from another process. What is not in the
//!   response and was not accepted yet, or was refused, is hashed as unknown:
//!   such a proxy is sent everything again on its next stream.
//!   The limit of it: Envoy may apply the good part of a CDS or LDS response
//!   that it refuses, and still shows the version before it; and it shows that
//!   of a response of which it has dropped a name on the way. If its stream
//!   ends just then, and it opens the next one when that very version is what
//!   it would be sent, it lacks the difference until the next change.
//!   For a cluster that changed and changed back see [`crate::ads::delta`].
//! - A proxy that drops names is sent the version of what is left (with no
//!   resource, where that means "unchanged"). If it kept the old one, it could
//!   come back for a dropped name and seem to have it.
//! - A newer version is sent while an older one is unanswered: a rebalance
//!   needs endpoints and filters to arrive back to back, at once. A request
//!   that was written before the latest response is ignored but for the
//!   verdict on its own; the proxy repeats its names when it answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ads::flight::Group;
use crate::ads::message::{DiscoveryRequest, DiscoveryResponse, Node};
use crate::ads::observer::Proxy;
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

    /// The names of a request that was written before the latest response: the
    /// proxy may have forgotten what it dropped, also if it is to ask for it
    /// again, so that much is noted. It asks for what is new when it answers.
    fn drop_names(&mut self, kind: ResourceType, names: &[String]) {
        let progress = self.types.of_mut(kind);
        let before = progress.subscription.take();
        progress.subscription.set_wildcard(before.is_wildcard());
        for name in names.iter().filter(|name| before.names(name)) {
            progress.subscription.add(&name.as_str().into());
        }
        progress.report |= progress.forget_unwanted();
    }

    /// Replaces the names of `kind`; returns how many were refused.
    fn subscribe(&mut self, kind: ResourceType, names: Vec<String>) -> usize {
        let ever_named = &mut self.ever_named[kind as usize];
        *ever_named |= !names.is_empty();
        let legacy_wildcard = kind.is_full_state() && !*ever_named;
        let progress = self.types.of_mut(kind);
        let before = progress.subscription.take();
        let mut now = progress.subscription.take();
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
                progress.owe(name);
                progress.report |= kind.is_full_state();
            }
        }
        if now.is_wildcard() && !before.is_wildcard() {
            progress.owe_all();
            progress.report |= kind.is_full_state();
        }
        progress.subscription = now;
        progress.report |= progress.forget_unwanted();
        refused
    }

    /// Takes for held what the proxy wants, if its first request shows the
    /// version of just that.
    fn adopt(&mut self, kind: ResourceType, version_info: &str, snapshot: &Snapshot) -> bool {
        let progress = self.types.of_mut(kind);
        let wanted = progress.subscription.wanted(snapshot.of(kind));
        let held: Vec<Published> = wanted.cloned().collect();
        let same = *version(held.iter(), |_| true) == *version_info;
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

    /// The responses that are due for `kind`, with `kept` as if they still
    /// existed.
    fn push(
        &mut self,
        kind: ResourceType,
        snapshot: &Snapshot,
        kept: &[Published],
    ) -> Vec<DiscoveryResponse> {
        let resources = snapshot.of(kind);
        let progress = self.types.of_mut(kind);
        if !progress.started {
            return Vec::new();
        }
        let mut gone = progress.gone(resources);
        gone.retain(|name| kept.iter().all(|kept| kept.name() != name));
        for name in &gone {
            progress.sent.remove(name);
        }
        if kind.is_full_state() {
            let due: Vec<Published> = progress.due(resources).cloned().collect();
            if due.is_empty() && gone.is_empty() && !progress.report {
                return Vec::new();
            }
            let wanted = progress.subscription.wanted(resources).chain(kept);
            let all = Group {
                resources: wanted.cloned().collect(),
                retry: false,
            };
            // One that was refused is new to the proxy if it takes it this time.
            let again = all.resources.iter();
            let again = again.filter(|resource| progress.has_refused(resource));
            let new: Vec<Published> = again.cloned().chain(due).collect();
            self.types.owe_dependents(&new);
            return vec![self.response(kind, snapshot, &all)];
        }
        for name in &gone {
            progress.confirmed.remove(name);
        }
        let mut groups = progress.due_in_groups(resources);
        if groups.is_empty() && progress.report {
            groups.push(Group::default());
        }
        self.types.vary(kind, &mut groups);
        let mut responses = Vec::with_capacity(groups.len());
        for group in groups {
            self.types.owe_dependents(&group.resources);
            responses.push(self.response(kind, snapshot, &group));
        }
        responses
    }

    fn response(
        &mut self,
        kind: ResourceType,
        snapshot: &Snapshot,
        group: &Group,
    ) -> DiscoveryResponse {
        let complete = kind.is_full_state();
        let Group { resources, .. } = group;
        let progress = self.types.of(kind);
        let version = if complete {
            version(resources.iter(), |_| true)
        } else {
            let included: BTreeSet<_> = resources.iter().map(Published::name).collect();
            let wanted = progress.subscription.wanted(snapshot.of(kind));
            let holds = progress.holds();
            version(wanted, |resource| {
                included.contains(resource.name()) || holds(resource)
            })
        };
        let nonce = self.types.nonce();
        let progress = self.types.of_mut(kind);
        progress.send(nonce.clone(), Arc::clone(&version), complete, group);
        DiscoveryResponse {
            version_info: version.to_string(),
            resources: resources.iter().map(Published::any).collect(),
            type_url: kind.type_url().to_owned(),
            nonce,
            control_plane: Some(self.types.control_plane()),
        }
    }
}

impl session::Session for Session {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn node(request: &mut DiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn introduce(&mut self, proxy: &Proxy, salt: u64) {
        self.types.introduce(proxy, salt);
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
        progress.is_back |= first && !request.version_info.is_empty();
        let fresh = progress.is_fresh(&request.response_nonce);
        let verdict = progress.answer(
            &request.response_nonce,
            Some(&request.version_info),
            request.error_detail,
        );
        let mut refused = 0;
        if fresh {
            let owed_by_clusters = progress.owed.clone();
            progress.report |= first && kind.is_full_state();
            refused = self.subscribe(kind, request.resource_names);
            if first && self.adopt(kind, &request.version_info, snapshot) {
                self.types.of_mut(kind).owed = owed_by_clusters;
            }
        } else {
            self.drop_names(kind, &request.resource_names);
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

    fn on_back_off(
        &mut self,
        kind: ResourceType,
        snapshot: &Arc<Snapshot>,
    ) -> Vec<DiscoveryResponse> {
        let progress = self.types.of_mut(kind);
        progress.try_again(kind.is_full_state());
        self.flush(snapshot)
    }

    fn progress(&self, kind: ResourceType) -> &Progress {
        self.types.of(kind)
    }

    fn label(response: &DiscoveryResponse) -> (&str, &str) {
        (&response.type_url, &response.version_info)
    }
}

/// The version of a set of resources, where `is_known` says of which it is sure
/// that the proxy has them when it accepts the response.
fn version<'a>(
    resources: impl Iterator<Item = &'a Published>,
    is_known: impl Fn(&Published) -> bool,
) -> Arc<str> {
    version_of(resources.map(|resource| {
        let version = if is_known(resource) {
            resource.version()
        } else {
            "unknown"
        };
        (&**resource.name(), version)
    }))
}

#[cfg(test)]
mod tests;
