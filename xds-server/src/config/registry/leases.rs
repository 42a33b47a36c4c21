//! Members that register themselves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Problem;
use crate::config::Admin;

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

/// Nobody could acquire a lease without it.
pub(super) fn check(admin: &Admin) -> Result<(), Problem> {
    let reason = if admin.listen.is_none() {
        "expected with admin.listen, where leases are acquired"
    } else if admin.token_file.is_none() {
        "expected with admin.token_file, without which nobody may acquire one"
    } else {
        return Ok(());
    };
    Err(("registry.leases", reason.to_owned()))
}
