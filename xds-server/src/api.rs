//! What the admin interface says, as JSON; the same types read it again in the
//! commands that ask a running server.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sharding::{Drain, Phase, Policy, Roster};

use crate::rebalance::Record;
use crate::rebalance::machine::{Pace, Past, Stage};

mod leases;

pub use leases::{
    AcquireLease, AcquiredLease, HeldLease, LEASES_PATH, LeaseStatus, RELEASE_PATH, RENEW_PATH,
};

/// Path of [`Status`].
pub const STATUS_PATH: &str = "/api/status";

/// Path of [`AssignmentStatus`].
pub const ASSIGNMENT_PATH: &str = "/api/assignment";

/// Everything that a person wants to see at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the control plane.
    pub version: String,
    /// What the rebalance is doing.
    pub stage: Stage,
    /// Whether a change waits for the rebalance under way.
    pub pending: bool,
    /// Of the present assignment; absent until there was a roster.
    pub epoch: Option<u64>,
    /// How keys are spread.
    pub policy: Option<Policy>,
    /// Whether streams that moved may be ended.
    pub drain: Option<Drain>,
    /// Who serves, by id.
    pub members: Vec<MemberStatus>,
    /// Proxies that are connected or report, by node id.
    pub proxies: Vec<ProxyStatus>,
    /// Whether proxies are connected and no VM reports: releases then rest on
    /// what proxies have accepted alone.
    #[serde(default)]
    pub unreported: bool,
    /// The rebalance under way.
    pub rebalance: Option<RebalanceStatus>,
    /// The last ten that are over, newest first.
    pub last: Vec<RebalanceStatus>,
}

/// A rebalance, and what follows from its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RebalanceStatus {
    /// What is kept of it.
    #[serde(flatten)]
    pub record: Record,
    /// See [`Record::split_ms`].
    pub split_ms: Option<u64>,
}

impl From<Record> for RebalanceStatus {
    fn from(record: Record) -> Self {
        let split_ms = record.split_ms();
        Self { record, split_ms }
    }
}

/// A member of the present assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its stable name.
    pub id: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Which run of the server it is, if the registry knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Share of all keys that it owns, from 0 to 1; absent while it is
    /// computed.
    pub share: Option<f64>,
    /// Open streams on it, by the last reports.
    pub open: u64,
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

/// What a plan is made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignmentStatus {
    /// Number of the present assignment.
    pub epoch: u64,
    /// How keys are spread.
    pub policy: Policy,
    /// Over whom.
    pub members: Roster,
    /// Assignments before it, oldest first.
    pub past: Vec<Past>,
    /// Open streams by member.
    pub open: BTreeMap<String, u64>,
    /// How streams are paced; absent when they are not drained.
    pub pace: Option<Pace>,
    /// How long proxies took to take over the last assignment, or may take
    /// when none was seen.
    pub hold_ms: u64,
}
