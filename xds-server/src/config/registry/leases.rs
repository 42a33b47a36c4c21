//! Members that register themselves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Members that hold a lease, which they acquire, renew and release over the
/// admin interface: by themselves, or by `xds-server register` beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Leases {
    /// Database that keeps them over restarts; made when it is not there. Its
    /// folder must exist.
    pub file: PathBuf,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            file: "leases.redb".into(),
        }
    }
}
