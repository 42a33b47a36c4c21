//! A proxy that speaks state of the world as Envoy's default multiplexer does:
//! one message per type at most waits to be sent, with what is true when it is.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::{DEPENDENT, ECDS, EDS, Held, Interest, KINDS};
use crate::ads::message::{DiscoveryRequest, DiscoveryResponse, ErrorDetail};
use crate::ads::session::StreamId;
use crate::ads::sotw::Session;
use crate::ads::support::Any;
use crate::snapshot::ResourceType;

#[derive(Debug, Default)]
struct Type {
    version: String,
    nonce: String,
    error: bool,
    pending: bool,
}

#[derive(Debug)]
pub(super) struct Proxy {
    held: Held,
    types: BTreeMap<ResourceType, Type>,
    /// Types of which it dropped a name that the server may not know of.
    unheard_drops: BTreeSet<ResourceType>,
}

/// Where it clears the version Envoy would not, which is the limit that
/// `ads/sotw.rs` names.
impl Default for Proxy {
    fn default() -> Self {
        let mut proxy = Self {
            held: Held::default(),
            types: BTreeMap::new(),
            unheard_drops: BTreeSet::new(),
        };
        super::Proxy::reconnect(&mut proxy);
        proxy
    }
}

impl super::Proxy for Proxy {
    type Session = Session;
    const SPEAKS_AT_ONCE: bool = true;

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
        let now = self.held.interest();
        self.held.forget_unwanted();
        for kind in DEPENDENT {
            let (before, now) = (&before[&kind], &now[&kind]);
            if !before.is_subset(now) {
                self.unheard_drops.insert(kind);
            }
            if now != before {
                self.types.entry(kind).or_default().pending = true;
            }
        }
    }

    fn resources(response: &DiscoveryResponse) -> usize {
        response.resources.len()
    }

    fn receive(&mut self, response: DiscoveryResponse) {
        let kind = ResourceType::from_type_url(&response.type_url).unwrap();
        let DiscoveryResponse {
            resources,
            version_info,
            nonce,
            ..
        } = response;
        let state = self.types.entry(kind).or_default();
        state.nonce = nonce;
        let wants_none = self
            .held
            .wanted(kind)
            .is_some_and(|wanted| wanted.is_empty());
        if wants_none && resources.is_empty() {
            // Envoy does not answer this one.
            state.version = version_info;
            return;
        }
        state.pending = true;
        let items: Vec<(String, String)> = resources
            .iter()
            .map(|bytes| {
                let value = String::from_utf8(Any::decode(bytes.clone()).unwrap().value).unwrap();
                let (name, content) = value.split_once('=').unwrap();
                (name.to_owned(), content.to_owned())
            })
            .collect();
        let held = &mut self.held;
        let items = items.into_iter().filter_map(|(name, content)| match kind {
            ECDS => Some((name, held.look_at(&content)?)),
            _ => Some((name, content)),
        });
        let items: Vec<(String, String)> = items.collect();
        let good = !items.iter().any(|(_, content)| self.held.refuses(content));
        if good {
            state.version = version_info;
        } else {
            state.error = true;
        }
        if kind.is_full_state() {
            // It takes what is good of a complete response.
            if !good {
                state.version.clear();
            }
            for name in self.held.of_full_state(kind) {
                if items.iter().all(|(item, _)| *item != name) {
                    self.held.remove(kind, &name);
                }
            }
        }
        if kind == EDS && !good {
            let names = items.iter().map(|(name, _)| name.clone());
            self.held.patient.extend(names);
        }
        for (name, content) in items {
            if good || (kind.is_full_state() && !self.held.refuses(&content)) {
                self.held.set(kind, &name, &content);
            }
        }
    }

    fn send(&mut self, kind: ResourceType) -> Option<DiscoveryRequest> {
        let state = self.types.get_mut(&kind)?;
        if !std::mem::take(&mut state.pending) {
            return None;
        }
        let error = std::mem::take(&mut state.error);
        Some(DiscoveryRequest {
            version_info: state.version.clone(),
            resource_names: self.held.wanted(kind).into_iter().flatten().collect(),
            type_url: kind.type_url().to_owned(),
            response_nonce: state.nonce.clone(),
            error_detail: error.then(ErrorDetail::default),
            ..DiscoveryRequest::default()
        })
    }

    fn calm(&mut self) {
        self.unheard_drops.retain(|kind| self.types[kind].pending);
    }

    fn reconnect(&mut self) {
        for kind in std::mem::take(&mut self.unheard_drops) {
            self.types.entry(kind).or_default().version.clear();
        }
        for kind in KINDS {
            let state = self.types.entry(kind).or_default();
            state.nonce.clear();
            state.pending = true;
        }
    }
}
