//! What the admin interface says, as JSON; the same types read it again in the
//! commands that ask a running server. `xds-server/openapi.yaml` describes them for
//! others.

use serde::{Deserialize, Serialize};
use sharding::{Drain, Policy};

use crate::rebalance::machine::Stage;

mod members;
mod owner;
mod proxies;
mod rebalances;

pub use members::{AssignmentStatus, MemberStatus, Members, Ordered};
pub use owner::{Owner, OwnerError};
pub use proxies::{
    NackStatus, Proxies, ProxyConfig, ProxyStatus, ResourceState, ResourceStatus, StreamConfig,
    StreamStatus, TypeState, TypeStatus, VmPhase, VmStatus,
};
pub use rebalances::{RebalanceStatus, Rebalances};

mod leases;

pub use leases::{
    AcquireLease, AcquiredLease, HeldLease, LEASES_PATH, LeaseStatus, RELEASE_PATH, RENEW_PATH,
};

/// Path of [`Status`].
pub const STATUS_PATH: &str = "/v1/status";

/// Path of [`Members`].
pub const MEMBERS_PATH: &str = "/v1/members";

/// Path of [`AssignmentStatus`].
pub const ASSIGNMENT_PATH: &str = "/v1/assignment";

/// Path of [`Owner`].
pub const OWNER_PATH: &str = "/v1/owner";

/// Path that takes a [`Proposal`](crate::rebalance::Proposal) and answers with
/// a [`Planned`](crate::rebalance::Planned).
pub const PLAN_PATH: &str = "/v1/plan";

/// Path of [`Rebalances`].
pub const REBALANCES_PATH: &str = "/v1/rebalances";

/// Path of [`Proxies`].
pub const PROXIES_PATH: &str = "/v1/proxies";

/// Path of [`ProxyConfig`], by node id.
pub const PROXY_CONFIG_PATH: &str = "/v1/proxies/{node}/config";

/// Path of an [`Order`](crate::health::Order), which is posted there by its
/// name; the answer is [`Ordered`].
pub const ORDER_PATH: &str = "/v1/members/{id}/{order}";

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
    /// Who serves, and who is listed and does not, by id.
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

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong and what would be right.
    pub error: String,
}
