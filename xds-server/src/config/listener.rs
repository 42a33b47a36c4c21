//! The listener that Envoy gets from the control plane.

use std::net::SocketAddr;

use serde::Deserialize;

use super::check::Problem;

/// The listener that Envoy gets from the control plane.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address on the proxy's machine.
    pub address: SocketAddr,
    /// Serves HTTPS instead of HTTP.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Writes a line per request to Envoy's standard output.
    #[serde(default = "yes")]
    pub access_log: bool,
}

/// Certificate of the listener: files on the proxy's machine, PEM.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate with its chain.
    pub certificate_chain: String,
    /// Its private key.
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
