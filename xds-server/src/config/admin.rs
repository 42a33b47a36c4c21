//! What the control plane shows of itself, and what filters tell it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bootstrap::XDS_CLUSTER;

/// Port of the admin interface, by default on loopback only.
pub const ADMIN_PORT: u16 = 18_001;

/// The admin interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where status, metrics and probes are; port 0 takes a free one and logs
    /// it, `none` turns the interface off.
    #[serde(deserialize_with = "address_or_none", serialize_with = "or_none")]
    pub listen: Option<SocketAddr>,
    /// File with the token that allows changes through the interface, at least
    /// 16 visible ASCII characters; read anew for each. Left out, nothing can
    /// be changed there.
    pub token_file: Option<PathBuf>,
}

/// Reports of the filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reports {
    /// Envoy cluster of the control plane, as the proxies' bootstraps name it:
    /// filters report through it.
    pub cluster: String,
}

impl Default for Admin {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listen: Some(SocketAddr::new(loopback, ADMIN_PORT)),
            token_file: None,
        }
    }
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            cluster: XDS_CLUSTER.to_owned(),
        }
    }
}

fn address_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format!(
            "address {text:?} is not usable: expected IP:PORT, [IP]:PORT or none"
        ))
    })
}

#[allow(clippy::ref_option)] // serde passes a reference
fn or_none<S: Serializer>(address: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("none"),
    }
}
