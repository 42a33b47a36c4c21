//! A proxy that speaks delta as Envoy does: answers wait in a queue, and the
//! next message of the type takes along what has changed of its interest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost::Message;

use super::{DEPENDENT, ECDS, EDS, Held, Interest, KINDS};
use crate::ads::delta::Session;
use crate::ads::message::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, ErrorDetail};
use crate::ads::session::StreamId;
use crate::ads::support::Named;
use crate::snapshot::ResourceType;

#[derive(Debug, Default)]
struct Type {
    started: bool,
    versions: BTreeMap<String, String>,
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
    answers: VecDeque<(String, bool)>,
}

#[derive(Debug, Default)]
pub(super) struct Proxy {
    held: Held,
    types: BTreeMap<ResourceType, Type>,
}

impl super::Proxy for Proxy {
    type Session = Session;
    const SPEAKS_AT_ONCE: bool = false;

    fn session(stream: StreamId) -> Session {
        Session::new(stream, "", None)
    }

    fn held(&self) -> &Held {
        &self.held
    }

    fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }

    fn interest_changed(&mut self, before: &Interest) {
        self.held.forget_unwanted();
        let now = self.held.interest();
        for kind in DEPENDENT {
            let (before, now) = (&before[&kind], &now[&kind]);
            let state = self.types.entry(kind).or_default();
            for name in now.difference(before) {
                state.removed.remove(name);
                state.added.insert(name.clone());
            }
            for name in before.difference(now) {
                state.added.remove(name);
                state.removed.insert(name.clone());
                state.versions.remove(name);
            }
        }
    }

    fn resources(response: &DeltaDiscoveryResponse) -> usize {
        response.resources.len()
    }

    fn receive(&mut self, response: DeltaDiscoveryResponse) {
        let kind = ResourceType::from_type_url(&response.type_url).unwrap();
        let items: Vec<(String, String, String)> = response
            .resources
            .iter()
            .map(|bytes| {
                let named = Named::decode(bytes.clone()).unwrap();
                let value = String::from_utf8(named.resource.unwrap().value).unwrap();
                let (name, content) = value.split_once('=').unwrap();
                assert_eq!(name, named.name);
                (named.name, named.version, content.to_owned())
            })
            .collect();
        let mut good = true;
        let mut applied = Vec::new();
        for (name, version, content) in items {
            let news = match kind {
                ECDS => self.held.look_at(&content),
                _ => Some(content),
            };
            good &= !news.as_ref().is_some_and(|news| self.held.refuses(news));
            applied.push((name, version, news));
        }
        let state = self.types.entry(kind).or_default();
        state.answers.push_back((response.nonce, good));
        if !good {
            if kind.is_full_state() {
                // It takes what is good, but Envoy would still show the version before,
                // which is the limit that `ads/delta.rs` names.
                for (name, _, content) in &applied {
                    let content = content.as_ref().unwrap();
                    if !self.held.refuses(content) {
                        self.held.set(kind, name, content);
                        state.versions.insert(name.clone(), "partly".to_owned());
                    }
                }
            }
            if kind == EDS {
                let names = applied.into_iter().map(|(name, ..)| name);
                self.held.patient.extend(names);
            }
            return;
        }
        for (name, version, content) in applied {
            if self.held.wants(kind, &name) {
                if let Some(content) = content {
                    self.held.set(kind, &name, &content);
                }
                let state = self.types.entry(kind).or_default();
                state.versions.insert(name, version);
            }
        }
        for name in response.removed_resources {
            self.held.remove(kind, &name);
            let state = self.types.entry(kind).or_default();
            state.versions.remove(&name);
        }
    }

    fn send(&mut self, kind: ResourceType) -> Option<DeltaDiscoveryRequest> {
        let wanted = self.held.wanted(kind).unwrap_or_default();
        let state = self.types.entry(kind).or_default();
        let first = !std::mem::replace(&mut state.started, true);
        let mut request = DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        if first {
            state.added = wanted;
            state.removed.clear();
            request.initial_resource_versions = state.versions.clone();
        } else if state.added.is_empty() && state.removed.is_empty() && state.answers.is_empty() {
            return None;
        }
        request.resource_names_subscribe = std::mem::take(&mut state.added).into_iter().collect();
        request.resource_names_unsubscribe =
            std::mem::take(&mut state.removed).into_iter().collect();
        if let Some((nonce, good)) = state.answers.pop_front() {
            request.response_nonce = nonce;
            request.error_detail = (!good).then(ErrorDetail::default);
        }
        debug_assert!(!kind.is_full_state() || request.resource_names_subscribe.is_empty());
        Some(request)
    }

    fn reconnect(&mut self) {
        for kind in KINDS {
            let state = self.types.entry(kind).or_default();
            state.started = false;
            state.answers.clear();
        }
    }
}
