//! A DNS server whose records a test changes, and which fails as it is told.

mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hickory_server::Server;
use hickory_server::proto::op::ResponseCode;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

pub use zone::Service;
use zone::Zone;

use crate::eventually;

/// How long a TCP connection may be quiet, and how many answers may wait on it.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
const TCP_ANSWERS: usize = 16;

/// A server in the test's own process, over UDP and TCP, somewhere on the
/// loopback. It serves until it is stopped or dropped, and again at the same
/// address when it is started again.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Zone>,
    serving: JoinSet<()>,
}

impl DnsServer {
    /// Starts one without records.
    pub async fn start() -> Result<Self> {
        let mut this = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            zone: Arc::default(),
            serving: JoinSet::new(),
        };
        this.restart().await?;
        Ok(this)
    }

    /// Where it is asked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the name has these addresses and no others, each for so many
    /// seconds. Without any the name is there all the same.
    pub fn set_addresses(&self, name: &str, addresses: &[IpAddr], ttl: u32) -> Result<()> {
        self.zone.set_addresses(name, addresses, ttl)
    }

    /// From now on the name has these SRV records and no others, each for so
    /// many seconds.
    pub fn set_services(&self, name: &str, services: &[Service<'_>], ttl: u32) -> Result<()> {
        self.zone.set_services(name, services, ttl)
    }

    /// From now on there is no such name.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.zone.remove(name)
    }

    /// Whether addresses of SRV targets come along, from now on.
    pub fn tell_more(&self, is_talkative: bool) {
        self.zone.behave(|zone| zone.is_talkative = is_talkative);
    }

    /// From now on every question is answered with that code, below 16, such
    /// as 2 for SERVFAIL.
    pub fn fail(&self, code: u8) {
        let code = ResponseCode::from(0, code);
        self.zone.behave(|zone| zone.failure = Some(code));
    }

    /// From now on no question is answered.
    pub fn fall_silent(&self) {
        self.zone.behave(|zone| zone.is_silent = true);
    }

    /// From now on questions are answered by the records again.
    pub fn behave(&self) {
        self.zone.behave(|zone| {
            zone.failure = None;
            zone.is_silent = false;
        });
    }

    /// How many questions there were.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.zone.questions()
    }

    /// Ends it: nobody listens there any more.
    pub async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) -> Result<()> {
        let (udp, tcp) = self.bind().await?;
        let mut server = Server::new(zone::Handler(Arc::clone(&self.zone)));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_ANSWERS);
        self.serving.spawn(async move {
            // Sockets of ours do not fail.
            let _ = server.block_until_done().await;
        });
        Ok(())
    }

    /// From now on every question is answered with what is no message.
    pub async fn garble(&mut self) -> Result<()> {
        let (udp, _) = self.bind().await?;
        self.serving.spawn(garble(udp));
        Ok(())
    }

    /// The same port for both; the first time any.
    async fn bind(&mut self) -> Result<(UdpSocket, TcpListener)> {
        self.stop().await;
        let wanted = self.address;
        let sockets = eventually("bound for UDP and TCP", async || {
            let tcp = TcpListener::bind(wanted).await?;
            let udp = UdpSocket::bind(tcp.local_addr()?).await?;
            Ok((udp, tcp))
        });
        let (udp, tcp) = sockets.await?;
        self.address = tcp.local_addr()?;
        Ok((udp, tcp))
    }
}

/// Its number makes each of them the answer to the question.
async fn garble(socket: UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question).await {
        let mut answer = question[..length.min(2)].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0, 0xc0, 0xff]);
        answer.extend(b"this is no record");
        let _ = socket.send_to(&answer, from).await;
    }
}
