//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tonic::Status;
use tracing::warn;

use super::{Refusal, Refusals};
use crate::ads::observer::shortened;
use crate::identity::{IdentityPattern, Names};

/// See the module. Cheap to clone; every request has it as an extension.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: SocketAddr,
    names: Arc<Names>,
    /// Which nodes it may be; any, if that is empty or left out.
    identity: Option<Arc<[IdentityPattern]>>,
    refusals: Refusals,
}

impl Peer {
    pub(crate) fn new(
        address: SocketAddr,
        names: Names,
        identity: Option<Arc<[IdentityPattern]>>,
        refusals: Refusals,
    ) -> Self {
        Self {
            address,
            names: Arc::new(names),
            identity,
            refusals,
        }
    }

    /// Where it connects from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it may be the node that it says it is.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, when its certificate is another's.
    pub(crate) fn admit(&self, node: &str) -> Result<(), Status> {
        let identity = self.identity.as_deref().unwrap_or_default();
        let names = &*self.names;
        if identity.is_empty() || identity.iter().any(|pattern| pattern.admits(node, names)) {
            return Ok(());
        }
        let node = shortened(node.to_owned());
        if let Some(unlogged) = self.refusals.count(Refusal::Identity) {
            let address = self.address;
            warn!(node, certificate = %names, %address, unlogged, "Refused: the certificate is not that of the node");
        }
        Err(Status::permission_denied(format!(
            "the certificate is of {names}, which does not make it that of node {node:?}: see xds.tls.identity"
        )))
    }

    /// What it is told of a message that cannot be taken.
    pub(crate) fn refuse_message(&self, error: &Status) {
        if let Some(unlogged) = self.refusals.count(Refusal::Message) {
            let address = self.address;
            warn!(%address, error = error.message(), unlogged, "Refused: message larger than xds.limits.message_bytes");
        }
    }
}
