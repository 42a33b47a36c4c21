//! gRPC clients that take their configuration over xDS and reach the members
//! without a proxy.

use serde::{Deserialize, Serialize};
use sharding::{HashFunction, Policy};

use super::Config;
use super::check::{Problem, is_name};
use crate::resources::LISTENER;

/// Largest ring that gRPC builds unless a channel is told otherwise (gRFC A42,
/// `grpc.lb.ring_hash.ring_size_cap`). It would cut a larger one down, without
/// a word, and reach other members than Envoy.
const MAX_RING_SIZE: u32 = 4096;

/// gRPC clients that reach the owner of a key without a proxy. They know no
/// Maglev and no large ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcClients {
    /// What they dial: `xds:///` and this name. Visible ASCII characters.
    pub target: String,
}

pub(super) fn check(config: &Config) -> Result<(), Problem> {
    let Some(GrpcClients { target }) = &config.grpc_clients else {
        return Ok(());
    };
    let problem = if !is_name(target) {
        Some("expected visible ASCII characters")
    } else if target == LISTENER {
        Some("that is the name of Envoy's listener")
    } else {
        None
    };
    if let Some(problem) = problem {
        let reason = format!("{target:?} is not usable: {problem}");
        return Err(("grpc_clients.target", reason));
    }
    match config.policy {
        Policy::RingHash {
            maximum_ring_size: ..=MAX_RING_SIZE,
            hash_function: HashFunction::XxHash,
            ..
        } => Ok(()),
        policy => Err((
            "grpc_clients",
            format!(
                "policy {policy} is none that gRPC clients can follow: expected ring_hash with xxhash and \
                 at most {MAX_RING_SIZE} entries, such as ring_hash:1024:{MAX_RING_SIZE}"
            ),
        )),
    }
}
