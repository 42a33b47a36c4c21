//! The listener that Envoy gets from the control plane.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::check::Problem;

/// The listener that Envoy gets from the control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where Envoy listens, on its own machine.
    pub address: SocketAddr,
    /// Serves HTTPS instead of HTTP, with PEM files on the proxy's machine.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Writes a line per request to Envoy's standard output: its key, how it was
    /// come by, its owner and the epoch.
    #[serde(default = "yes")]
    pub access_log: bool,
}

/// Certificate of the listener: files on the proxy's machine, PEM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Path of the certificate with its chain.
    pub certificate_chain: String,
    /// Path of its private key.
    pub private_key: String,
}

fn yes() -> bool {
    true
}

pub(super) fn check(listener: &Listener) -> Result<(), Problem> {
    let Some(tls) = &listener.tls else {
        return Ok(());
    };
    for (setting, path) in [
        ("listener.tls.certificate_chain", &tls.certificate_chain),
        ("listener.tls.private_key", &tls.private_key),
    ] {
        if path.is_empty() {
            return Err((setting, "\"\" is not usable: expected a path".to_owned()));
        }
    }
    Ok(())
}
