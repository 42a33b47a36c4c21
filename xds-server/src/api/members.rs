//! Who serves, and who owns what.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sharding::{Policy, Roster};

use crate::health::{MemberState, Order};
use crate::rebalance::machine::{Pace, Past};

/// The members of the present assignment, and those who are listed and do not
/// serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// Of the present assignment; absent until there was a roster.
    pub epoch: Option<u64>,
    /// By id.
    pub members: Vec<MemberStatus>,
}

/// A member of the present assignment, or one that the registry lists.
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
    /// Where it runs, if the registry knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Share of all keys that it owns, from 0 to 1; absent while it is
    /// computed.
    pub share: Option<f64>,
    /// Open streams on it, by the last reports.
    pub open: u64,
    /// What becomes of it.
    #[serde(default)]
    pub state: MemberState,
    /// Why, unless it serves and all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An order that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Of whom.
    pub id: String,
    /// What.
    pub order: Order,
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
