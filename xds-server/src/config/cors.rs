//! What browsers of other origins may send and read.

use std::str::FromStr;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::check::Problem;

/// Cross-origin rules; the defaults are those of Yorkie's own gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins that may call, each exact; `*` for any.
    pub allow_origins: Vec<String>,
    /// Request headers beyond the safelisted ones.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// Whether cookies may be sent along.
    pub allow_credentials: bool,
}

impl Default for Cors {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            allow_origins: owned(&["*"]),
            allow_headers: owned(&[
                "authorization",
                "cache-control",
                "connect-protocol-version",
                "connect-timeout-ms",
                "content-type",
                "grpc-timeout",
                "keep-alive",
                "user-agent",
                "x-api-key",
                "x-grpc-web",
                "x-shard-key",
                "x-user-agent",
                "x-yorkie-user-agent",
            ]),
            expose_headers: owned(&["grpc-message", "grpc-status", "grpc-status-details-bin"]),
            allow_credentials: true,
        }
    }
}

pub(super) fn check(cors: &Cors) -> Result<(), Problem> {
    for (setting, names) in [
        ("cors.allow_headers", &cors.allow_headers),
        ("cors.expose_headers", &cors.expose_headers),
    ] {
        if let Some(name) = names
            .iter()
            .find(|name| HeaderName::from_str(name).is_err())
        {
            return Err((
                setting,
                format!("{name:?} is not usable: expected a header name"),
            ));
        }
    }
    let bad = |origin: &&String| origin.is_empty() || HeaderValue::from_str(origin).is_err();
    match cors.allow_origins.iter().find(bad) {
        Some(origin) => Err((
            "cors.allow_origins",
            format!(
                "{origin:?} is not usable: expected an origin such as https://example.org, or *"
            ),
        )),
        None => Ok(()),
    }
}
