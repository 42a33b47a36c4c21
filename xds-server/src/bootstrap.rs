//! Envoy bootstraps: the little that a proxy must know before it can ask.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod tls;

pub use tls::ClientTls;

/// Name of the cluster in the bootstrap that leads to the control plane. The
/// filter reports through it too.
pub const XDS_CLUSTER: &str = "yorkies_xds";

/// Labels for Prometheus, and the counters of the filter that have them:
/// `wasmcustom.yorkies.requests.source.<value>` becomes one metric
/// `yorkies_requests_source` with the label `source`.
const LABELS: [(&str, &str); 4] = [
    ("source", r"requests\.source"),
    ("mended", r"requests\.mended"),
    ("refused", r"requests\.refused"),
    ("how", "drained"),
];

/// The variant of the xDS protocol that a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Incremental: only what changed.
    Delta,
    /// State of the world: everything of a type, each time.
    Sotw,
}

/// What a bootstrap is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// Variant of the protocol.
    pub mode: Mode,
    /// Node id: names the proxy in the control plane's logs.
    pub node: String,
    /// Host and port of the control plane.
    pub xds: HostPort,
    /// Host and port of Envoy's admin interface.
    pub admin: HostPort,
    /// Whether the proxy takes its listener from the control plane.
    pub listener: bool,
    /// How it speaks to the control plane; left out, in clear.
    pub tls: Option<ClientTls>,
}

/// `host:port`, where the host is a name or an IP address (`[v6]:port`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port; 0 only where something listens.
    pub port: u16,
}

impl HostPort {
    /// Whether something can be connected to there, as far as the text tells.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        let ip = self.host.parse::<IpAddr>();
        self.port != 0 && !ip.is_ok_and(|ip| ip.is_unspecified())
    }
}

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not host:port, with a name, an IPv4 or an [IPv6] address");
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        if !is_host_name(host) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Letters, digits and inner hyphens in each label (RFC 1123, 2.1), underscores
/// as container networks have them, and no number at the end, which would be a
/// broken IPv4 address.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Bootstrap {
    /// The bootstrap as a document for Envoy's `--config-path` (JSON or YAML).
    #[must_use]
    pub fn document(&self) -> Value {
        let mut dynamic = json!({
            "ads_config": {
                "api_type": match self.mode {
                    Mode::Delta => "DELTA_GRPC",
                    Mode::Sotw => "GRPC",
                },
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": {
                    "cluster_name": XDS_CLUSTER,
                    // Envoy's default lets a proxy come back up to 30 s after its control plane.
                    "retry_policy": { "retry_back_off": {
                        "base_interval": "0.5s",
                        "max_interval": "3s",
                    } },
                } }],
            },
            "cds_config": from_ads(),
        });
        if self.listener {
            dynamic["lds_config"] = from_ads();
        }
        json!({
            "node": { "id": self.node, "cluster": "yorkies" },
            "admin": { "address": socket_address(&self.admin) },
            "dynamic_resources": dynamic,
            "static_resources": { "clusters": [self.xds_cluster()] },
            "stats_config": { "stats_tags": LABELS.map(|(label, counter)| json!({
                "tag_name": label,
                "regex": format!(r"^wasmcustom\.yorkies\.{counter}(\.(\w+))$"),
            })) },
            "layered_runtime": { "layers": [{
                "name": "yorkies",
                // Envoy 1.38.0 could leave workers on an old table with it.
                "static_layer": {
                    "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": false,
                },
            }] },
        })
    }

    fn xds_cluster(&self) -> Value {
        let is_address = self.xds.host.parse::<IpAddr>().is_ok();
        let mut cluster = json!({
            "name": XDS_CLUSTER,
            "type": if is_address { "STATIC" } else { "STRICT_DNS" },
            "connect_timeout": "2s",
            "load_assignment": {
                "cluster_name": XDS_CLUSTER,
                "endpoints": [{ "lb_endpoints": [{
                    "endpoint": { "address": socket_address(&self.xds) },
                }] }],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {
                        "connection_keepalive": { "interval": "10s", "timeout": "5s" },
                    } },
                },
            },
        });
        if let Some(tls) = &self.tls {
            cluster["transport_socket"] = tls.transport_socket();
        }
        cluster
    }
}

fn from_ads() -> Value {
    json!({ "resource_api_version": "V3", "initial_fetch_timeout": "0s", "ads": {} })
}

fn socket_address(at: &HostPort) -> Value {
    json!({ "socket_address": { "address": at.host, "port_value": at.port } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for (text, host, port) in [
            ("xds:18000", "xds", 18_000),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:2", "::1", 2),
        ] {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port));
            assert_eq!(parsed.to_string(), text);
            assert!(parsed.is_reachable());
        }
        for text in [
            "xds",
            ":1",
            "xds:",
            "xds:x",
            "::1:2",
            "xds:70000",
            "a b:1",
            "[xds]:1",
            "1.2.3:4",
            "é:1",
            "-a:1",
        ] {
            assert!(
                text.parse::<HostPort>()
                    .unwrap_err()
                    .contains("is not host:port")
            );
        }
    }

    #[test]
    fn nobody_can_connect_to_every_address_or_to_port_0() {
        for text in ["0.0.0.0:1", "[::]:1", "xds:0"] {
            assert!(!text.parse::<HostPort>().unwrap().is_reachable());
        }
    }

    #[test]
    fn names_are_resolved_and_addresses_are_not() {
        let bootstrap = |xds: &str| Bootstrap {
            mode: Mode::Delta,
            node: "n".to_owned(),
            xds: xds.parse().unwrap(),
            admin: "127.0.0.1:0".parse().unwrap(),
            listener: false,
            tls: None,
        };
        let kind =
            |xds| bootstrap(xds).document()["static_resources"]["clusters"][0]["type"].clone();
        assert_eq!(kind("xds:1"), "STRICT_DNS");
        assert_eq!(kind("127.0.0.1:1"), "STATIC");
        assert!(
            bootstrap("xds:1").document()["dynamic_resources"]
                .get("lds_config")
                .is_none()
        );
    }

    /// The files in `envoy/` carry comments, which a command cannot write.
    #[test]
    fn the_bootstraps_kept_as_files_say_the_same() {
        for (mode, text) in [
            (
                Mode::Delta,
                include_str!("../../envoy/bootstrap-delta.yaml"),
            ),
            (Mode::Sotw, include_str!("../../envoy/bootstrap-sotw.yaml")),
        ] {
            let bootstrap = Bootstrap {
                mode,
                node: "envoy".to_owned(),
                xds: "127.0.0.1:18000".parse().unwrap(),
                admin: "127.0.0.1:9901".parse().unwrap(),
                listener: true,
                tls: None,
            };
            let file: Value = serde_saphyr::from_str(text).unwrap();
            assert_eq!(file, bootstrap.document());
        }
    }
}
