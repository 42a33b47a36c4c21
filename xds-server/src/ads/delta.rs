//! Delta xDS: requests and responses say only what changes.
//!
//! Pure. Rules are those of the xDS protocol ("Incremental xDS", "How the
//! client specifies what resources to return") and, where it leaves a choice,
//! what Envoy 1.36 to 1.40 does:
//! - A name that is subscribed to is sent, even if the proxy may have it, or
//!   said to be removed if it does not exist; it is sent when it appears.
//! - What a proxy brings from an earlier stream (`initial_resource_versions`)
//!   is compared: it is sent what differs and told what is gone. The limits of
//!   it, both of a stream that ends at a bad moment: Envoy may apply the good
//!   part of a response that it refuses, and still shows the versions before
//!   it; if those are served again by then, it lacks the difference until the
//!   next change. And a cluster that changed and changed back before endpoints
//!   came shows nothing of that; Envoy ends its warming after 15 s with the
//!   endpoints that it has.
//! - Removals leave after all additions, in the reverse order of types, so that
//!   nothing is taken away while something still refers to it.
//! - A stale nonce is no answer, but the subscriptions next to it count.
//! - A newer version is sent while an older one is unanswered, as in
//!   [`crate::ads::sotw`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ads::flight::{Flight, Group};
use crate::ads::message::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use crate::ads::progress::Progress;
use crate::ads::session::{self, StreamId, Turn, Types};
use crate::ads::subscription::WILDCARD;
use crate::snapshot::{Published, ResourceType, Snapshot, version_of};

/// One delta stream.
#[derive(Debug)]
pub(crate) struct Session {
    types: Types,
}

impl Session {
    /// A stream that has seen no request. `only` restricts it to one type.
    pub(crate) fn new(stream: StreamId, identifier: &str, only: Option<ResourceType>) -> Self {
        Self {
            types: Types::new(stream, identifier, only),
        }
    }

    fn unsubscribe(progress: &mut Progress, names: &[String]) {
        for name in names {
            if name == WILDCARD {
                progress.subscription.set_wildcard(false);
            } else if progress.subscription.remove(name) && progress.subscription.is_wildcard() {
                // Envoy cannot tell whether the wildcard covers it and waits to be told.
                progress.owed.insert(name.as_str().into());
            }
        }
        progress.forget_unwanted();
    }

    /// Adds names; returns how many were refused.
    fn subscribe(progress: &mut Progress, names: Vec<String>) -> usize {
        let mut refused = 0;
        for name in names {
            if name == WILDCARD {
                progress.subscription.set_wildcard(true);
                progress.owe_all();
                progress.report = true;
                continue;
            }
            let name: Arc<str> = name.into();
            if progress.subscription.add(&name) {
                progress.owe(name);
            } else {
                refused += 1;
            }
        }
        refused
    }

    /// The first request of a type: what the proxy brings along is not owed.
    fn start(
        progress: &mut Progress,
        kind: ResourceType,
        request: &mut DeltaDiscoveryRequest,
    ) -> usize {
        let names = std::mem::take(&mut request.resource_names_subscribe);
        let legacy_wildcard = kind.is_full_state()
            && names.is_empty()
            && request.resource_names_unsubscribe.is_empty();
        let owed_by_clusters = std::mem::take(&mut progress.owed);
        let refused = Self::subscribe(progress, names);
        if legacy_wildcard {
            progress.subscription.set_wildcard(true);
            progress.report = true;
        }
        let held: BTreeMap<String, String> = std::mem::take(&mut request.initial_resource_versions);
        progress.is_back = !held.is_empty();
        for (name, version) in held {
            if progress.subscription.wants(&name) {
                let name: Arc<str> = name.into();
                progress.owed.remove(&name);
                progress.adopt(&name, &version.into());
                progress.report = false;
            }
        }
        progress.owed.extend(owed_by_clusters);
        refused
    }

    fn flush(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let mut responses = Vec::new();
        for kind in ResourceType::ALL {
            responses.extend(self.push(kind, snapshot));
        }
        for kind in ResourceType::ALL.into_iter().rev() {
            responses.extend(self.remove(kind, snapshot));
            self.types.of_mut(kind).settle(kind, snapshot);
        }
        responses
    }

    /// The responses with what is new or changed.
    fn push(&mut self, kind: ResourceType, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let progress = self.types.of_mut(kind);
        if !progress.started {
            return Vec::new();
        }
        let resources = snapshot.of(kind);
        let mut groups = progress.due_in_groups(resources);
        // An empty answer to a wildcard ends the wait for the first configuration.
        if progress.report && groups.is_empty() && progress.gone(resources).is_empty() {
            groups.push(Group::default());
        }
        let mut responses = Vec::with_capacity(groups.len());
        for group in groups {
            let progress = self.types.of_mut(kind);
            for resource in &group.resources {
                // Paid here, since `settle` keeps what becomes owed from now on.
                progress.owed.remove(resource.name());
            }
            self.types.owe_dependents(&group.resources);
            let response = self.response(kind, snapshot);
            let nonce = response.nonce.clone();
            let version = response.system_version_info.as_str().into();
            let progress = self.types.of_mut(kind);
            progress.send(nonce, version, false, &group);
            responses.push(DeltaDiscoveryResponse {
                resources: group.resources.iter().map(Published::named).collect(),
                ..response
            });
        }
        responses
    }

    /// The response with what is gone, or was asked for and does not exist.
    fn remove(
        &mut self,
        kind: ResourceType,
        snapshot: &Snapshot,
    ) -> Option<DeltaDiscoveryResponse> {
        let progress = self.types.of_mut(kind);
        if !progress.started {
            return None;
        }
        let resources = snapshot.of(kind);
        let mut gone = progress.gone(resources);
        let missing = |name: &&Arc<str>| {
            progress.subscription.wants(name)
                && !resources.contains_key(*name)
                && !progress.sent.contains_key(*name)
        };
        gone.extend(progress.owed.iter().filter(missing).cloned());
        if gone.is_empty() {
            return None;
        }
        for name in &gone {
            progress.sent.remove(name);
        }
        let response = self.response(kind, snapshot);
        self.types.of_mut(kind).unanswered.push(Flight {
            nonce: response.nonce.clone(),
            version: response.system_version_info.as_str().into(),
            complete: false,
            size: 0,
            retry: false,
            items: gone.iter().map(|name| (Arc::clone(name), None)).collect(),
        });
        Some(DeltaDiscoveryResponse {
            removed_resources: gone.iter().map(ToString::to_string).collect(),
            ..response
        })
    }

    fn response(&mut self, kind: ResourceType, snapshot: &Snapshot) -> DeltaDiscoveryResponse {
        let wanted = self.types.of(kind).subscription.wanted(snapshot.of(kind));
        let version =
            version_of(wanted.map(|resource| (&**resource.name(), &**resource.version())));
        DeltaDiscoveryResponse {
            system_version_info: version.to_string(),
            type_url: kind.type_url().to_owned(),
            nonce: self.types.nonce(),
            control_plane: Some(self.types.control_plane()),
            ..DeltaDiscoveryResponse::default()
        }
    }
}

impl session::Session for Session {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn node(request: &mut DeltaDiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn type_url(request: &DeltaDiscoveryRequest) -> &str {
        &request.type_url
    }

    fn on_request(
        &mut self,
        mut request: DeltaDiscoveryRequest,
        snapshot: &Arc<Snapshot>,
    ) -> Turn<DeltaDiscoveryResponse> {
        let Some(kind) = self.types.resolve(&request.type_url) else {
            return Turn::ignored();
        };
        let progress = self.types.of_mut(kind);
        let first = !std::mem::replace(&mut progress.started, true);
        let verdict = progress.answer(&request.response_nonce, None, request.error_detail.take());
        let refused = if first {
            Self::start(progress, kind, &mut request)
        } else {
            // A name in both lists ends up subscribed: to be told too much does no harm.
            Self::unsubscribe(progress, &request.resource_names_unsubscribe);
            Self::subscribe(progress, request.resource_names_subscribe)
        };
        Turn {
            kind: Some(kind),
            verdict,
            refused,
            responses: self.flush(snapshot),
        }
    }

    fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>) -> Vec<DeltaDiscoveryResponse> {
        self.flush(snapshot)
    }

    fn progress(&self, kind: ResourceType) -> &Progress {
        self.types.of(kind)
    }

    fn label(response: &DeltaDiscoveryResponse) -> (&str, &str) {
        (&response.type_url, &response.system_version_info)
    }
}

#[cfg(test)]
mod tests;
