//! How Envoy speaks to the members.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{DURATIONS, Problem, in_range};

/// Connections from Envoy to the members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// What Envoy speaks to them.
    pub protocol: UpstreamProtocol,
    /// Longest wait for a connection. Up to an hour.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// A connection without requests is closed after this, up to an hour. Has to
    /// be below the servers' own idle timeout (Yorkie: 2 minutes), or a request
    /// can meet a connection that is being closed.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Open requests, streams included, over which Envoy answers 503.
    pub max_requests: u32,
    /// Connections over which Envoy answers 503.
    pub max_connections: u32,
}

/// HTTP version towards the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamProtocol {
    /// HTTP/2 in clear text, with prior knowledge.
    H2c,
    /// HTTP/1.1.
    Http1,
    /// The version that the client speaks: lets websockets through to servers
    /// that know them on HTTP/1.1 only.
    Downstream,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            protocol: UpstreamProtocol::H2c,
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_mins(1),
            max_requests: 1_000_000,
            max_connections: 100_000,
        }
    }
}

pub(super) fn check(upstream: &Upstream) -> Result<(), Problem> {
    for (setting, value) in [
        ("upstream.connect_timeout", upstream.connect_timeout),
        ("upstream.idle_timeout", upstream.idle_timeout),
    ] {
        in_range(setting, value, &DURATIONS)?;
    }
    for (setting, value) in [
        ("upstream.max_requests", upstream.max_requests),
        ("upstream.max_connections", upstream.max_connections),
    ] {
        if value == 0 {
            return Err((setting, "0 is not usable: no request would pass".to_owned()));
        }
    }
    Ok(())
}
