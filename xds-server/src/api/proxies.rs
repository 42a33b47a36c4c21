//! Who is connected, and what they have of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sharding::Phase;

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
    /// Versions that it accepted last, by type.
    pub acked: BTreeMap<String, String>,
    /// What it refused last.
    pub nack: Option<NackStatus>,
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
