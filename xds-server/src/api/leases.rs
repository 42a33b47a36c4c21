//! What members that register themselves say, and hear.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

pub use crate::registry::LeaseStatus;

/// Path of all leases, `GET`: a list of [`LeaseStatus`]; and where one is
/// acquired, `POST`: [`AcquireLease`] to [`AcquiredLease`].
pub const LEASES_PATH: &str = "/v1/leases";

/// Path where a lease is renewed, `POST`: [`HeldLease`] to nothing.
pub const RENEW_PATH: &str = "/v1/leases/renew";

/// Path where a lease is given back, `POST`: [`HeldLease`] to nothing.
pub const RELEASE_PATH: &str = "/v1/leases/release";

/// A member that wants to be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcquireLease {
    /// Its stable name.
    pub id: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// Its share of the keys.
    #[serde(default = "one")]
    pub weight: u32,
    /// Which run of the server it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Port at which it is asked for its health; left out, that of
    /// `health.port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_port: Option<NonZeroU16>,
    /// How long the lease lasts after a renewal; left out, 15 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// A lease that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcquiredLease {
    /// Greater than that of any lease before, also over restarts.
    pub token: u64,
    /// How long it lasts after a renewal.
    pub ttl_ms: u64,
    /// How often it is to be renewed.
    pub renew_ms: u64,
}

/// A lease, by whoever has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldLease {
    /// Whose.
    pub id: String,
    /// As it was given.
    pub token: u64,
}

fn one() -> u32 {
    1
}
