//! Limits and identities over real sockets.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use http::Uri;
use hyper_util::rt::TokioIo;
use rcgen::SanType;
use sharding::{REPORTS_SERVICE, Receipt, Report, SEND_METHOD};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tonic_prost::ProstCodec;

use super::*;
use crate::ads::AdsServer;
use crate::ads::support::{CDS, snapshot};
use crate::config::XdsTls;
use crate::files::LookAgain;
use crate::fleet::Fleet;
use crate::reports;
use crate::snapshot::Snapshot;
use crate::tls::Metrics;
use crate::tls::support::{authority, client, dns, files, issue, uri};

const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

struct Server {
    address: SocketAddr,
    refusals: Refusals,
    fleet: Arc<Fleet>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    async fn start(limits: Limits, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (snapshots, receiver) = watch::channel(snapshot(&[(CDS, "a", "a1")]));
        let (fleet, refusals) = (Arc::new(Fleet::default()), Refusals::default());
        let server = AdsServer::new(receiver, fleet.clone())
            .with_access(Access {
                limits,
                tls,
                refusals: refusals.clone(),
            })
            .with_services(reports::routes(fleet.clone()));
        let serving = server.serve(listener, std::future::pending());
        Self {
            address,
            refusals,
            fleet,
            snapshots,
            serving: tokio::spawn(async { serving.await.unwrap() }),
        }
    }

    async fn limited(limits: Limits) -> Self {
        Self::start(limits, None).await
    }

    async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn eventually(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let poll = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, poll).await.expect(what);
    }

    async fn refused(&self, refusal: Refusal) {
        let counted = |server: &Self| server.refusals.counted(refusal) > 0;
        self.eventually("it is counted", counted).await;
    }
}

/// An xDS stream of the node `proxy`.
struct Stream {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Stream {
    async fn open(channel: Channel) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(4);
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let opened = client.stream_aggregated_resources(ReceiverStream::new(receiver));
        let responses = timeout(PATIENCE, opened).await.expect("an answer")?;
        Ok(Self {
            requests,
            responses: responses.into_inner(),
        })
    }

    async fn ask(&mut self, text: &str) -> Result<Option<DiscoveryResponse>, Status> {
        let request = DiscoveryRequest {
            node: Some(Node {
                id: "proxy".to_owned(),
                ..Node::default()
            }),
            type_url: CDS.type_url().to_owned(),
            version_info: text.to_owned(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
        self.next().await
    }

    async fn next(&mut self) -> Result<Option<DiscoveryResponse>, Status> {
        let next = timeout(PATIENCE, self.responses.message()).await;
        next.expect("an answer")
    }
}

/// Whether the server closes it, whatever it says before.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut said = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .is_ok()
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_one_that_ends_makes_room() {
    let server = Server::limited(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let (first, second) = (server.raw().await, server.channel().await);
    let mut stream = Stream::open(second).await.unwrap();
    stream.ask("").await.unwrap().unwrap();
    assert!(is_closed(server.raw().await).await);
    server.refused(Refusal::Connections).await;
    drop(first);
    let mut other = None;
    let come = async {
        while other.is_none() {
            let uri = format!("http://{}", server.address);
            let channel = Channel::from_shared(uri).unwrap().connect().await;
            if let Ok(channel) = channel {
                other = Stream::open(channel).await.ok();
            }
        }
    };
    timeout(PATIENCE, come).await.expect("there is room again");
    server.snapshots.send_replace(snapshot(&[(CDS, "a", "a2")]));
    stream.next().await.unwrap().expect("it was not disturbed");
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let server = Server::limited(Limits {
        connections_per_address: 1,
        ..Limits::default()
    })
    .await;
    let _first = server.raw().await;
    assert!(is_closed(server.raw().await).await);
    server.refused(Refusal::Address).await;
}

#[tokio::test]
async fn who_says_nothing_or_never_asks_is_closed() {
    let server = Server::limited(Limits {
        handshake_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let silent = server.raw().await;
    let mut polite = server.raw().await;
    // The preface and empty settings (RFC 9113, 3.4).
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    polite.write_all(preface).await.unwrap();
    let mut busy = Stream::open(server.channel().await).await.unwrap();
    assert!(is_closed(silent).await);
    assert!(is_closed(polite).await);
    server
        .eventually("both are counted", |server| {
            server.refusals.counted(Refusal::Slow) == 2
        })
        .await;
    busy.ask("").await.unwrap().expect("it has asked in time");
}

#[tokio::test]
async fn a_connection_is_closed_once_it_is_idle_and_not_while_a_stream_is_open() {
    let server = Server::limited(Limits {
        idle_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    // Whoever has it keeps the connection.
    let channel = server.channel().await;
    let mut stream = Stream::open(channel.clone()).await.unwrap();
    stream.ask("").await.unwrap().unwrap();
    tokio::time::sleep(4 * SHORT).await;
    server.snapshots.send_replace(snapshot(&[(CDS, "a", "a2")]));
    stream.next().await.unwrap().expect("quiet is not idle");
    assert_eq!(server.refusals.idle(), 0);
    drop(stream);
    server
        .eventually("it is closed", |server| server.refusals.idle() == 1)
        .await;
    let again = Stream::open(channel).await.unwrap().ask("").await;
    again.unwrap().expect("another connection takes its place");
}

#[tokio::test]
async fn a_stream_too_many_is_told_so_and_one_that_ends_makes_room() {
    let server = Server::limited(Limits {
        streams_per_connection: 2,
        ..Limits::default()
    })
    .await;
    let channel = server.channel().await;
    let mut first = Stream::open(channel.clone()).await.unwrap();
    let second = Stream::open(channel.clone()).await.unwrap();
    let error = Stream::open(channel.clone()).await.err().unwrap();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(
        error
            .message()
            .contains("xds.limits.streams_per_connection")
    );
    server.refused(Refusal::Streams).await;
    drop(second);
    let come = async { while Stream::open(channel.clone()).await.is_err() {} };
    timeout(PATIENCE, come).await.expect("there is room again");
    first.ask("").await.unwrap().expect("it was not disturbed");
}

#[tokio::test]
async fn a_message_too_large_ends_its_stream_with_the_reason() {
    let server = Server::limited(Limits {
        message_bytes: 1000,
        ..Limits::default()
    })
    .await;
    let channel = server.channel().await;
    let mut good = Stream::open(channel.clone()).await.unwrap();
    good.ask(&"x".repeat(500)).await.unwrap().unwrap();
    let mut large = Stream::open(channel).await.unwrap();
    let error = large.ask(&"x".repeat(1000)).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.message().contains("at most 1000"), "{error}");
    server.refused(Refusal::Message).await;
    server.snapshots.send_replace(snapshot(&[(CDS, "a", "a2")]));
    good.next().await.unwrap().expect("it was not disturbed");
}

/// Connects over TLS wherever tonic wants to.
struct Connect {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Service<Uri> for Connect {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (address, connector) = (self.address, TlsConnector::from(self.config.clone()));
        Box::pin(async move {
            let name = ServerName::try_from("xds").unwrap();
            let stream = TcpStream::connect(address).await?;
            Ok(TokioIo::new(connector.connect(name, stream).await?))
        })
    }
}

/// A server that takes `{node}.proxies` and `u://{node}`, and a client of it
/// whose certificate has that name.
async fn known_as(name: SanType) -> (Server, Channel) {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let settings = XdsTls {
        identity: ["{node}.proxies", "u://{node}"]
            .map(|pattern| pattern.parse().unwrap())
            .to_vec(),
        ..files(folder.path(), &authority)
    };
    let tls = Tls::start(&settings, &LookAgain::default(), Metrics::default()).unwrap();
    let server = Server::start(Limits::default(), Some(tls)).await;
    let connect = Connect {
        address: server.address,
        config: Arc::new(client(&authority, Some(&issue(&authority, &[name])))),
    };
    let endpoint = Endpoint::from_static("http://xds");
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    (server, channel)
}

async fn report(channel: Channel, node: &str) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let report = Report {
        node: node.to_owned(),
        vm: 1,
        ..Report::default()
    };
    let codec = ProstCodec::<Report, Receipt>::default();
    let path = format!("/{REPORTS_SERVICE}/{SEND_METHOD}").parse().unwrap();
    let sent = client.unary(tonic::Request::new(report), path, codec);
    sent.await.map(drop)
}

#[tokio::test]
async fn the_node_of_the_certificate_is_served_and_reports() {
    for name in [dns("proxy.proxies"), uri("u://proxy")] {
        let (server, channel) = known_as(name).await;
        let mut stream = Stream::open(channel.clone()).await.unwrap();
        stream.ask("").await.unwrap().unwrap();
        report(channel, "proxy").await.unwrap();
        assert_eq!(server.refusals.counted(Refusal::Identity), 0);
    }
}

#[tokio::test]
async fn another_node_is_refused_and_so_are_its_reports() {
    let (server, channel) = known_as(uri("u://other")).await;
    let mut stream = Stream::open(channel.clone()).await.unwrap();
    let error = stream.ask("").await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("u://other"), "{error}");
    assert!(error.message().contains("\"proxy\""), "{error}");
    let error = report(channel.clone(), "proxy").await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!(server.refusals.counted(Refusal::Identity), 2);
    let now = std::time::Instant::now();
    assert_eq!(server.fleet.totals(None, now).vms, 0);
    report(channel, "other").await.unwrap();
    assert_eq!(server.fleet.totals(None, now).vms, 1);
}

#[tokio::test]
async fn who_does_not_speak_tls_is_refused() {
    let (server, _) = known_as(dns("proxy.proxies")).await;
    let mut plain = server.raw().await;
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    assert!(is_closed(plain).await);
    server.refused(Refusal::Tls).await;
}
