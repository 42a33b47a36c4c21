//! Who is connected, and what they have of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sharding::Phase;

use crate::ads::Reached;

/// Proxies that are connected or report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proxies {
    /// By node id.
    pub proxies: Vec<ProxyStatus>,
    /// Whether proxies are connected and no VM reports: releases then rest on
    /// what proxies have accepted alone.
    #[serde(default)]
    pub unreported: bool,
}

/// All that shares a node id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Node id.
    pub node: String,
    /// Its xDS streams; none when it only reports.
    pub streams: Vec<StreamStatus>,
    /// Its VMs that report.
    pub vms: Vec<VmStatus>,
}

/// An xDS stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Number of the stream.
    pub id: String,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
    /// Software and version of the proxy.
    pub software: String,
    /// Variant of the protocol, `sotw` or `delta`.
    pub mode: String,
    /// Whether it has accepted the newest cluster, endpoints and filter.
    pub current: bool,
    /// How far it is with each type that it asked for, such as `ecds`.
    pub types: BTreeMap<String, TypeStatus>,
    /// What it has refused, if there is anything; of several types the first.
    pub nack: Option<NackStatus>,
}

/// A type on a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeStatus {
    /// How far it is.
    pub state: TypeState,
    /// Version of the response that was sent last; absent when none was, as the
    /// proxy came with what it needs.
    pub sent: Option<String>,
    /// Version of the response that was accepted last.
    pub accepted: Option<String>,
    /// What of the type it refused last.
    pub nack: Option<NackStatus>,
}

/// How far a proxy is with a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeState {
    /// It has accepted all that it wants of the newest assignment.
    Synced,
    /// It was sent something and has not answered, or is still to be sent it.
    Stale,
    /// It has refused something and keeps what it had.
    Rejected,
    /// It wants nothing that there is.
    NotSent,
}

/// What a proxy has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyConfig {
    /// Node id.
    pub node: String,
    /// Its xDS streams.
    pub streams: Vec<StreamConfig>,
}

/// What a proxy has on one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamConfig {
    /// Number of the stream.
    pub id: String,
    /// Variant of the protocol, `sotw` or `delta`.
    pub mode: String,
    /// In the order in which types go out, by name.
    pub resources: Vec<ResourceStatus>,
}

/// A resource that a proxy has, or was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// Type, such as `ecds`.
    pub kind: String,
    /// The type as it is on the wire.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How far it has come.
    pub state: ResourceState,
    /// The resource as JSON, without hashes of secrets. Absent if the proxy
    /// brought it along and it is not what is served now.
    pub body: Option<Value>,
}

/// How far a resource has come. A name is there twice while the proxy has one
/// version and was sent another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceState {
    /// The proxy has accepted it.
    Accepted,
    /// It was sent, and the proxy has not answered.
    Sent,
    /// The proxy has refused it.
    Rejected,
}

impl From<Reached> for ResourceState {
    fn from(reached: Reached) -> Self {
        match reached {
            Reached::Accepted => Self::Accepted,
            Reached::Sent => Self::Sent,
            Reached::Rejected => Self::Rejected,
        }
    }
}

/// A response that a proxy refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NackStatus {
    /// Type, such as `ecds`.
    pub kind: String,
    /// Version of the response.
    pub version: String,
    /// What the proxy said.
    pub reason: String,
    /// Whether it has accepted another response of that type since.
    pub mended: bool,
}

/// The last report of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmStatus {
    /// Its random number, in hex.
    pub vm: String,
    /// Epoch of its assignment.
    pub epoch: u64,
    /// What it does about streams that moved.
    pub phase: VmPhase,
    /// Its open streams.
    pub open: u64,
    /// Those that sit elsewhere than their owner.
    pub misplaced: u64,
    /// Streams that it has ended since it started.
    pub drained: u64,
    /// Requests that it has refused since it started.
    pub refused: u64,
    /// Open streams of its epoch that are elsewhere than predicted.
    pub mismatched: u64,
    /// How long ago it reported.
    pub silent_ms: u64,
}

/// [`Phase`] in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmPhase {
    /// Streams stay.
    Hold,
    /// Streams that moved are being ended, or have been.
    Released,
    /// Streams stay, since predictions are wrong.
    Stopped,
}

impl From<Phase> for VmPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Hold => Self::Hold,
            Phase::Released => Self::Released,
            Phase::Stopped => Self::Stopped,
        }
    }
}
