//! Where things are: ports, files, the module.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bootstrap::HostPort;

/// The xDS server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Xds {
    /// Where proxies connect; port 0 takes a free one and logs it.
    pub listen: SocketAddr,
    /// Where proxies find it, as `bootstrap` tells them, when that is another
    /// address: a published port or a name. Left out, `xds.listen`.
    pub advertise: Option<HostPort>,
}

impl Default for Xds {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18_000),
            advertise: None,
        }
    }
}

/// The filter's module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The module on this machine. It is read for its hash, which decides which
    /// VM Envoy uses.
    pub module: PathBuf,
    /// The same file on the proxies' machines, when its path is another there.
    /// Name it by version or hash and never overwrite it: Envoy would start a
    /// new VM with the next update, in the middle of whatever goes on. Left out,
    /// the same path.
    #[serde(default)]
    pub module_on_proxy: Option<String>,
}
