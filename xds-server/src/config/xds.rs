//! The xDS server: where it listens, how it is secured and limited.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::{DURATIONS, Problem, in_range};
use crate::bootstrap::HostPort;
use crate::identity::IdentityPattern;

/// The xDS server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Xds {
    /// Where proxies connect; port 0 takes a free one and logs it.
    pub listen: SocketAddr,
    /// Where proxies find it, as `bootstrap` tells them, when that is another
    /// address: a published port or a name. Left out, `xds.listen`.
    pub advertise: Option<HostPort>,
    /// Serves proxies over TLS only, 1.2 or later.
    pub tls: Option<XdsTls>,
    /// How much of it anybody can take.
    pub limits: Limits,
}

/// TLS of the xDS port. All files are PEM on this machine, but for those in
/// `on_proxy`. They are read again when they change; what cannot be used is
/// logged and counted, and the last good one stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XdsTls {
    /// Certificate with its chain. Proxies have to find in it the name or the
    /// address that they connect to.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of the proxies' certificates. With it, who shows no
    /// certificate of theirs is refused.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Names that a proxy's certificate may have, with `{node}` for its node id:
    /// `spiffe://cluster/{node}` or `{node}.proxies`. A stream or a report of
    /// another node is refused. One without `{node}` lets its bearer be any
    /// node. Left out, any certificate of `client_ca` does for any node.
    #[serde(default)]
    pub identity: Vec<IdentityPattern>,
    /// What `bootstrap` tells proxies.
    #[serde(default)]
    pub on_proxy: OnProxy,
}

/// The proxies' side of TLS: files on their machines, PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnProxy {
    /// Authorities of the control plane's certificate. `bootstrap` needs it.
    pub ca: Option<String>,
    /// The proxy's certificate with its chain: required with `client_ca`.
    pub certificate: Option<String>,
    /// Its private key.
    pub key: Option<String>,
    /// Name that the control plane's certificate has to have: a DNS name, or a
    /// URI. Left out, the host that the proxy connects to.
    pub name: Option<String>,
}

/// How much of the xDS port anybody can take. What goes beyond is refused,
/// logged and counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections. A proxy has one for xDS, and one more for reports of each
    /// worker.
    pub connections: u32,
    /// Connections from one address.
    pub connections_per_address: u32,
    /// Requests that are open on one connection at a time: xDS streams and
    /// reports.
    pub streams_per_connection: u32,
    /// Largest message of an xDS stream, in bytes. Reports have 4 MiB at most.
    pub message_bytes: u32,
    /// Longest time from a connection to its first request, TLS included.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// A connection without any open request is closed after this time.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// A connection on which nothing came for this long is asked whether it
    /// lives, by an HTTP/2 ping ...
    #[serde(with = "humantime_serde")]
    pub keepalive_interval: Duration,
    /// ... and closed when no answer comes within this time.
    #[serde(with = "humantime_serde")]
    pub keepalive_timeout: Duration,
}

impl Default for Xds {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18_000),
            advertise: None,
            tls: None,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_address: 8_192,
            streams_per_connection: 64,
            // A delta proxy names all that it has when it comes back, also of another
            // control plane; decoded, short names take many times their bytes.
            message_bytes: 8 << 20,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
        }
    }
}

pub(super) fn check(xds: &Xds) -> Result<(), Problem> {
    xds.tls.as_ref().map_or(Ok(()), check_tls)?;
    check_limits(&xds.limits)
}

fn check_tls(tls: &XdsTls) -> Result<(), Problem> {
    if !tls.identity.is_empty() && tls.client_ca.is_none() {
        return Err((
            "xds.tls.identity",
            "needs xds.tls.client_ca: without it proxies show no certificate".to_owned(),
        ));
    }
    let OnProxy {
        ca,
        certificate,
        key,
        name,
    } = &tls.on_proxy;
    for (setting, text) in [
        ("xds.tls.on_proxy.ca", ca),
        ("xds.tls.on_proxy.certificate", certificate),
        ("xds.tls.on_proxy.key", key),
        ("xds.tls.on_proxy.name", name),
    ] {
        if text.as_deref() == Some("") {
            return Err((setting, "\"\" is not usable: leave it out".to_owned()));
        }
    }
    if certificate.is_some() != key.is_some() {
        return Err((
            "xds.tls.on_proxy",
            "certificate and key belong together: give both or none".to_owned(),
        ));
    }
    Ok(())
}

fn check_limits(limits: &Limits) -> Result<(), Problem> {
    let Limits {
        connections,
        connections_per_address,
        streams_per_connection,
        message_bytes,
        handshake_timeout,
        idle_timeout,
        keepalive_interval,
        keepalive_timeout,
    } = *limits;
    for (setting, value) in [
        ("xds.limits.connections", connections),
        (
            "xds.limits.connections_per_address",
            connections_per_address,
        ),
        ("xds.limits.streams_per_connection", streams_per_connection),
        ("xds.limits.message_bytes", message_bytes),
    ] {
        if value == 0 {
            return Err((setting, "0 is not usable: expected at least 1".to_owned()));
        }
    }
    for (setting, value) in [
        ("xds.limits.handshake_timeout", handshake_timeout),
        ("xds.limits.idle_timeout", idle_timeout),
        ("xds.limits.keepalive_interval", keepalive_interval),
        ("xds.limits.keepalive_timeout", keepalive_timeout),
    ] {
        in_range(setting, value, &DURATIONS)?;
    }
    Ok(())
}
