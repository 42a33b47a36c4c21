//! Addresses that nobody else takes while their server is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

/// No two are the same in one process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// An address of the loopback that is this process's own: at 127.0.0.1 a port
/// can become the other end of any connection.
pub fn own_address() -> Result<SocketAddr> {
    let number = COUNT.fetch_add(1, Ordering::Relaxed) % 250 + 1;
    let [.., high, low] = process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, high % 250 + 1, low, number as u8);
    Ok(TcpListener::bind((ip, 0))?.local_addr()?)
}
