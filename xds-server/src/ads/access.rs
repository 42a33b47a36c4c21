//! Who is let in, and how much of the port anybody can take.

use std::net::SocketAddr;

use tonic::Status;

use crate::config::Limits;
use crate::identity::Names;
use crate::tls::Tls;

mod open;
mod peer;
mod refusals;
mod slots;

pub(crate) use open::{Open, Useless};
pub(crate) use peer::Peer;
pub use refusals::{Refusal, Refusals};
pub(crate) use slots::Slots;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// How much anybody can take.
    pub limits: Limits,
    /// What is spoken, and who may speak; without it the port is open to all.
    pub tls: Option<Tls>,
    /// Where refusals are counted.
    pub refusals: Refusals,
}

impl Access {
    /// Who is at the other end of a connection, by the names that it has shown.
    pub(crate) fn peer(&self, address: SocketAddr, names: Names) -> Peer {
        let identity = self.tls.as_ref().map(Tls::identity);
        Peer::new(address, names, identity.cloned(), self.refusals.clone())
    }

    /// What somebody is told who asks for one request too many.
    pub(crate) fn too_many_streams(&self) -> Status {
        let most = self.limits.streams_per_connection;
        Status::resource_exhausted(format!(
            "{most} streams are open on this connection, the most that xds.limits.streams_per_connection allows"
        ))
    }
}

#[cfg(test)]
mod tests;
