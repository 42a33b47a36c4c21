//! The messages of xDS, as far as a proxy has to understand them to ask for
//! the next thing. What it only has to accept stays bytes.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) cluster: String,
    #[prost(string, tag = "6")]
    pub(crate) user_agent_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DiscoveryRequest {
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) node: Option<Node>,
    #[prost(string, repeated, tag = "3")]
    pub(crate) resource_names: Vec<String>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) response_nonce: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DiscoveryResponse {
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) resources: Vec<Bytes>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaDiscoveryRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<Node>,
    #[prost(string, tag = "2")]
    pub(crate) type_url: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) resource_names_subscribe: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(crate) resource_names_unsubscribe: Vec<String>,
    #[prost(string, tag = "6")]
    pub(crate) response_nonce: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaDiscoveryResponse {
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) resources: Vec<Bytes>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
}

/// What delta wraps an [`Any`] in.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Resource {
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) any: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Cluster {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) eds_cluster_config: Option<EdsClusterConfig>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EdsClusterConfig {
    #[prost(string, tag = "2")]
    pub(crate) service_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Listener {
    #[prost(message, repeated, tag = "3")]
    pub(crate) filter_chains: Vec<FilterChain>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FilterChain {
    #[prost(message, repeated, tag = "3")]
    pub(crate) filters: Vec<NetworkFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NetworkFilter {
    #[prost(message, optional, tag = "4")]
    pub(crate) typed_config: Option<Any>,
}

/// Of `HttpConnectionManager`, the only network filter here.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ConnectionManager {
    #[prost(message, optional, tag = "3")]
    pub(crate) rds: Option<Rds>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) http_filters: Vec<HttpFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Rds {
    #[prost(string, tag = "2")]
    pub(crate) route_config_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct HttpFilter {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// There if the filter comes by ECDS.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(crate) config_discovery: Option<Bytes>,
}
