//! The messages of `envoy.service.discovery.v3`, as far as they are used here.
//!
//! Written by hand for one reason: a resource is a [`Bytes`] that was encoded
//! once. An embedded message and a `bytes` field look the same on the wire, so
//! no resource is copied on its way to a stream (`ads/codec.rs`). Unknown fields
//! of requests are skipped.

use std::collections::BTreeMap;

use bytes::Bytes;
use envoy_types::pb::google::protobuf::Struct;
use prost::Message;

/// `config.core.v3.Node`: who the proxy says it is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    /// Its id.
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    /// The cluster of proxies that it belongs to.
    #[prost(string, tag = "2")]
    pub(crate) cluster: String,
    /// What else it says of itself.
    #[prost(message, optional, tag = "3")]
    pub(crate) metadata: Option<Struct>,
    /// What it is, `envoy`.
    #[prost(string, tag = "6")]
    pub(crate) user_agent_name: String,
    /// Its version, as gRPC gives it.
    #[prost(string, tag = "7")]
    pub(crate) user_agent_version: String,
    /// The build, as Envoy gives it.
    #[prost(message, optional, tag = "8")]
    pub(crate) user_agent_build_version: Option<BuildVersion>,
}

/// `config.core.v3.BuildVersion`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct BuildVersion {
    /// Its version number.
    #[prost(message, optional, tag = "1")]
    pub(crate) version: Option<SemanticVersion>,
}

/// `type.v3.SemanticVersion`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct SemanticVersion {
    /// Major number.
    #[prost(uint32, tag = "1")]
    pub(crate) major_number: u32,
    /// Minor number.
    #[prost(uint32, tag = "2")]
    pub(crate) minor_number: u32,
    /// Patch number.
    #[prost(uint32, tag = "3")]
    pub(crate) patch: u32,
}

/// `google.rpc.Status`: its presence makes a request a NACK.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ErrorDetail {
    /// gRPC status code.
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    /// What the proxy did not like.
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// `config.core.v3.ControlPlane`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ControlPlane {
    /// Which replica answers; Envoy shows it in `control_plane.identifier`.
    #[prost(string, tag = "1")]
    pub(crate) identifier: String,
}

/// `DiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DiscoveryRequest {
    /// The last version that the proxy accepted.
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    /// In a stream's first message.
    #[prost(message, optional, tag = "2")]
    pub(crate) node: Option<Node>,
    /// All names that it is interested in.
    #[prost(string, repeated, tag = "3")]
    pub(crate) resource_names: Vec<String>,
    /// Which type this is about.
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    /// The response that this answers.
    #[prost(string, tag = "5")]
    pub(crate) response_nonce: String,
    /// Present in a NACK.
    #[prost(message, optional, tag = "6")]
    pub(crate) error_detail: Option<ErrorDetail>,
}

/// `DiscoveryResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct DiscoveryResponse {
    /// Version of all that the proxy is interested in, not only of what is in
    /// here.
    #[prost(string, tag = "1")]
    pub(crate) version_info: String,
    /// Encoded `Any`s.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) resources: Vec<Bytes>,
    /// Which type this is about.
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    /// Unique on the stream.
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
    /// Who answers.
    #[prost(message, optional, tag = "6")]
    pub(crate) control_plane: Option<ControlPlane>,
}

/// `DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeltaDiscoveryRequest {
    /// In a stream's first message.
    #[prost(message, optional, tag = "1")]
    pub(crate) node: Option<Node>,
    /// Which type this is about.
    #[prost(string, tag = "2")]
    pub(crate) type_url: String,
    /// Names that it becomes interested in.
    #[prost(string, repeated, tag = "3")]
    pub(crate) resource_names_subscribe: Vec<String>,
    /// Names that it no longer is interested in.
    #[prost(string, repeated, tag = "4")]
    pub(crate) resource_names_unsubscribe: Vec<String>,
    /// What it has from an earlier stream, by name.
    #[prost(btree_map = "string, string", tag = "5")]
    pub(crate) initial_resource_versions: BTreeMap<String, String>,
    /// The response that this answers.
    #[prost(string, tag = "6")]
    pub(crate) response_nonce: String,
    /// Present in a NACK.
    #[prost(message, optional, tag = "7")]
    pub(crate) error_detail: Option<ErrorDetail>,
}

/// `DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct DeltaDiscoveryResponse {
    /// For people only.
    #[prost(string, tag = "1")]
    pub(crate) system_version_info: String,
    /// Encoded `Resource`s.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) resources: Vec<Bytes>,
    /// Which type this is about.
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    /// Unique on the stream.
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
    /// Names that do not exist, or no longer.
    #[prost(string, repeated, tag = "6")]
    pub(crate) removed_resources: Vec<String>,
    /// Who answers.
    #[prost(message, optional, tag = "7")]
    pub(crate) control_plane: Option<ControlPlane>,
}
