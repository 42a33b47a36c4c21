//! A proxy that speaks state of the world as Envoy's default multiplexer does:
//! one message per type at most waits to be sent, with what is true when it is.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::{CDS, ECDS, EDS, Held, KINDS};
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
    /// Whether it dropped a name that the server may not know of.
    unheard_drop: bool,
}

/// Where it clears the version Envoy would not, which is the limit that
/// `ads/sotw.rs` names.
impl Default for Proxy {
    fn default() -> Self {
        let mut proxy = Self {
            held: Held::default(),
            types: BTreeMap::new(),
            unheard_drop: false,
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

    fn interest_changed(&mut self, before: &BTreeSet<String>) {
        let now = self.held.wanted_endpoints();
        self.unheard_drop |= !before.is_subset(&now);
        if now != *before {
            self.held.forget_unwanted();
            self.types.entry(EDS).or_default().pending = true;
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
        let wants_none = kind == EDS && self.held.wanted_endpoints().is_empty();
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
        if kind == CDS {
            // It takes what is good of a complete response.
            if !good {
                state.version.clear();
            }
            let gone = self.held.clusters.keys().cloned().collect::<Vec<_>>();
            for name in gone {
                if items.iter().all(|(item, _)| *item != name) {
                    self.held.remove(CDS, &name);
                }
            }
        }
        if kind == EDS && !good {
            let names = items.iter().map(|(name, _)| name.clone());
            self.held.patient.extend(names);
        }
        for (name, content) in items {
            if good || (kind == CDS && !self.held.refuses(&content)) {
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
            resource_names: match kind {
                EDS => self.held.wanted_endpoints().into_iter().collect(),
                ECDS => vec!["f".to_owned()],
                _ => Vec::new(),
            },
            type_url: kind.type_url().to_owned(),
            response_nonce: state.nonce.clone(),
            error_detail: error.then(ErrorDetail::default),
            ..DiscoveryRequest::default()
        })
    }

    fn calm(&mut self) {
        self.unheard_drop &= self.types[&EDS].pending;
    }

    fn reconnect(&mut self) {
        if std::mem::take(&mut self.unheard_drop) {
            self.types.entry(EDS).or_default().version.clear();
        }
        for kind in KINDS {
            let state = self.types.entry(kind).or_default();
            state.nonce.clear();
            state.pending = true;
        }
    }
}
