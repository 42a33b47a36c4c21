//! Snapshots and helpers for the tests of this module.

use std::sync::Arc;

use prost::Message;

use crate::ads::message::Node;
use crate::ads::observer::{Mode, Proxy};
use crate::snapshot::{Resource, ResourceType, Snapshot};

pub(crate) const CDS: ResourceType = ResourceType::Cluster;
pub(crate) const EDS: ResourceType = ResourceType::Endpoints;
pub(crate) const LDS: ResourceType = ResourceType::Listener;
pub(crate) const RDS: ResourceType = ResourceType::Routes;
pub(crate) const ECDS: ResourceType = ResourceType::Extension;

/// A snapshot of `(type, name, content)`; a cluster has the endpoints of its
/// name for dependent.
pub(crate) fn snapshot(resources: &[(ResourceType, &str, &str)]) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(resources.iter().map(
        |&(kind, name, content)| {
            let resource = Resource::new(name, content.as_bytes().to_vec());
            let resource = match kind {
                CDS => resource.with_dependent(EDS, name),
                _ => resource,
            };
            (kind, resource)
        },
    )))
}

/// The same, where extensions have other bytes for each number, after a blank.
pub(crate) fn snapshot_of_variable(resources: &[(ResourceType, &str, &str)]) -> Arc<Snapshot> {
    let all = resources.iter().map(|&(kind, name, content)| {
        let resource = Resource::new(name, content.as_bytes().to_vec());
        let content = content.to_owned();
        let resource = match kind {
            CDS => resource.with_dependent(EDS, name),
            ECDS => resource.with_variation(move |number| format!("{content} {number}").into()),
            _ => resource,
        };
        (kind, resource)
    });
    Arc::new(Snapshot::new(all))
}

/// A proxy that says of itself no more than its name.
pub(crate) fn proxy(node: &str) -> Proxy {
    let node = Node {
        id: node.to_owned(),
        ..Node::default()
    };
    Proxy::new(Some(node), None, Mode::Delta)
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) resource: Option<Any>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

pub(crate) fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
