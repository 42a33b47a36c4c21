//! Where the filter is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The filter's module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The module on this machine. It is read to see whether it is one that Envoy
    /// can load.
    pub module: PathBuf,
    /// The same file on the proxies' machines, when its path is another there.
    /// Name it by version or hash and never overwrite it: Envoy would start a
    /// new VM with the next update, in the middle of whatever goes on. Left out,
    /// the same path.
    #[serde(default)]
    pub module_on_proxy: Option<String>,
}
