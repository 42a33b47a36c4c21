//! Where proxies come in, thousands of them at once.

use std::io;
use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tracing::debug;

/// Connections that may wait to be accepted: after a restart all proxies come at
/// once, and one that is turned away tries again a second later. The system may
/// allow less (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// Listens for proxies.
///
/// # Errors
/// When the address is not to be had.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    allow_connections();
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Else a restart would have to wait for connections of the last run to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes as many descriptors as the system lets it have: what it gives to a
/// process unasked, 1024 as a rule, is there for programs that use `select`.
fn allow_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        debug!(%error, "Limit of descriptors stays");
    }
}
