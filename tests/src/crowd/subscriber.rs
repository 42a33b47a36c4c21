//! What Envoy asks for, and how it accepts what it gets. Pure.
//!
//! Clusters and listeners it wants all of; endpoints, routes and filters by the
//! names in those; listeners when it has the endpoints. It accepts everything.

use std::collections::BTreeSet;

use crate::Mode;
use anyhow::Result;
use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::crowd::grpc;
use crate::crowd::kind::Kind;
use crate::crowd::proto::{
    Any, Cluster, ConnectionManager, DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    DiscoveryRequest, DiscoveryResponse, Listener, Node, Resource,
};

/// One proxy's side of a stream.
#[derive(Debug)]
pub(crate) struct Subscriber {
    mode: Mode,
    kinds: Vec<Kind>,
    /// Sent in the first request only.
    node: Option<Node>,
    topics: [Topic; Kind::ALL.len()],
}

#[derive(Debug, Default)]
struct Topic {
    asked: bool,
    names: BTreeSet<String>,
    version: String,
    nonce: String,
}

/// A response, of either variant.
struct Response {
    kind: Kind,
    version: String,
    nonce: String,
    resources: Vec<Bytes>,
}

impl Subscriber {
    /// One that asks for those types only.
    pub(crate) fn new(node: String, mode: Mode, kinds: Vec<Kind>) -> Self {
        Self {
            mode,
            kinds,
            node: Some(Node {
                id: node,
                cluster: "bench".to_owned(),
                user_agent_name: "envoy".to_owned(),
            }),
            topics: Default::default(),
        }
    }

    /// The path of the aggregated service.
    pub(crate) fn path(&self) -> &'static str {
        match self.mode {
            Mode::Sotw => {
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
            }
            Mode::Delta => {
                "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
            }
        }
    }

    /// The first request: for clusters, or without them for the endpoints of
    /// those names.
    pub(crate) fn start(&mut self, endpoints: &[String], out: &mut BytesMut) {
        if self.kinds.contains(&Kind::Cds) {
            self.ask(Kind::Cds, BTreeSet::new(), out);
        } else {
            self.ask(Kind::Eds, endpoints.iter().cloned().collect(), out);
        }
    }

    /// Accepts a response, after asking for what it makes known; returns its
    /// type.
    pub(crate) fn accept(&mut self, body: Bytes, out: &mut BytesMut) -> Result<Kind> {
        let response = self.read(body)?;
        let kind = response.kind;
        match kind {
            Kind::Cds => self.ask(Kind::Eds, endpoints_of(&response.resources)?, out),
            Kind::Eds if !self.topics[Kind::Lds as usize].asked => {
                self.ask(Kind::Lds, BTreeSet::new(), out);
            }
            Kind::Lds => {
                let (routes, filters) = parts_of(&response.resources)?;
                self.ask(Kind::Rds, routes, out);
                self.ask(Kind::Ecds, filters, out);
            }
            Kind::Eds | Kind::Rds | Kind::Ecds => {}
        }
        match self.mode {
            Mode::Sotw => {
                let topic = &mut self.topics[kind as usize];
                topic.version = response.version;
                topic.nonce = response.nonce;
                self.request(kind, out);
            }
            Mode::Delta => {
                let ack = DeltaDiscoveryRequest {
                    response_nonce: response.nonce,
                    ..DeltaDiscoveryRequest::default()
                };
                self.delta_request(kind, ack, out);
            }
        }
        Ok(kind)
    }

    fn read(&self, body: Bytes) -> Result<Response> {
        match self.mode {
            Mode::Sotw => {
                let response = DiscoveryResponse::decode(body)?;
                Ok(Response {
                    kind: Kind::from_type_url(&response.type_url)?,
                    version: response.version_info,
                    nonce: response.nonce,
                    resources: response.resources,
                })
            }
            Mode::Delta => {
                let response = DeltaDiscoveryResponse::decode(body)?;
                let resources = response.resources.into_iter();
                let resources = resources.map(|named| Ok(Resource::decode(named)?.any));
                Ok(Response {
                    kind: Kind::from_type_url(&response.type_url)?,
                    version: String::new(),
                    nonce: response.nonce,
                    resources: resources.collect::<Result<_>>()?,
                })
            }
        }
    }

    /// Asks for those names, if the type is to be asked for and that is news.
    fn ask(&mut self, kind: Kind, names: BTreeSet<String>, out: &mut BytesMut) {
        let topic = &mut self.topics[kind as usize];
        if !self.kinds.contains(&kind) || topic.asked && topic.names == names {
            return;
        }
        topic.asked = true;
        let before = std::mem::replace(&mut topic.names, names);
        match self.mode {
            Mode::Sotw => self.request(kind, out),
            Mode::Delta => {
                let names = DeltaDiscoveryRequest {
                    resource_names_subscribe: topic.names.difference(&before).cloned().collect(),
                    resource_names_unsubscribe: before.difference(&topic.names).cloned().collect(),
                    ..DeltaDiscoveryRequest::default()
                };
                self.delta_request(kind, names, out);
            }
        }
    }

    fn request(&mut self, kind: Kind, out: &mut BytesMut) {
        let topic = &self.topics[kind as usize];
        let request = DiscoveryRequest {
            version_info: topic.version.clone(),
            node: self.node.take(),
            resource_names: topic.names.iter().cloned().collect(),
            type_url: kind.type_url().to_owned(),
            response_nonce: topic.nonce.clone(),
        };
        grpc::put(out, &request);
    }

    fn delta_request(&mut self, kind: Kind, request: DeltaDiscoveryRequest, out: &mut BytesMut) {
        let request = DeltaDiscoveryRequest {
            node: self.node.take(),
            type_url: kind.type_url().to_owned(),
            ..request
        };
        grpc::put(out, &request);
    }
}

/// The names under which the clusters have their endpoints.
fn endpoints_of(resources: &[Bytes]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for resource in resources {
        let cluster: Cluster = message(resource.clone())?;
        let Some(eds) = cluster.eds_cluster_config else {
            continue;
        };
        names.insert(if eds.service_name.is_empty() {
            cluster.name
        } else {
            eds.service_name
        });
    }
    Ok(names)
}

/// The names of routes and of filters in the listeners.
fn parts_of(resources: &[Bytes]) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut routes, mut filters) = (BTreeSet::new(), BTreeSet::new());
    for resource in resources {
        let listener: Listener = message(resource.clone())?;
        let chains = listener.filter_chains.into_iter();
        for filter in chains.flat_map(|chain| chain.filters) {
            let Some(any) = filter.typed_config else {
                continue;
            };
            let manager = ConnectionManager::decode(any.value)?;
            routes.extend(manager.rds.map(|rds| rds.route_config_name));
            let discovered = manager.http_filters.into_iter();
            let discovered = discovered.filter(|filter| filter.config_discovery.is_some());
            filters.extend(discovered.map(|filter| filter.name));
        }
    }
    Ok((routes, filters))
}

fn message<M: Message + Default>(any: Bytes) -> Result<M> {
    Ok(M::decode(Any::decode(any)?.value)?)
}
