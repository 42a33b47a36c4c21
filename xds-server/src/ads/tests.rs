//! Over real connections, with a client generated from Envoy's own protos.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_prost::ProstCodec;

use super::*;
use crate::ads::message::ErrorDetail;
use crate::ads::support::{CDS, ECDS, EDS, LDS, RDS, snapshot};
use crate::snapshot::ResourceType;

const PATIENCE: Duration = Duration::from_secs(10);

/// Remembers what an observer is told.
#[derive(Default)]
struct Recorder {
    open: Mutex<BTreeMap<StreamId, Proxy>>,
    confirmed: Mutex<BTreeMap<(StreamId, ResourceType), Versions>>,
    nacks: Mutex<Vec<(String, ResourceType, String)>>,
}

impl ProxyObserver for Recorder {
    fn connected(&self, stream: StreamId, proxy: &Proxy) {
        self.open.lock().unwrap().insert(stream, proxy.clone());
    }

    fn nacked(&self, _: StreamId, proxy: &Proxy, kind: ResourceType, _: &str, reason: &str) {
        let nack = (proxy.node.clone(), kind, reason.to_owned());
        self.nacks.lock().unwrap().push(nack);
    }

    fn holds(&self, stream: StreamId, kind: ResourceType, holding: Holding<'_>, _: &Arc<Snapshot>) {
        let mut confirmed = self.confirmed.lock().unwrap();
        confirmed.insert((stream, kind), holding.confirmed().clone());
    }

    fn disconnected(&self, stream: StreamId, proxy: &Proxy) {
        let known = self.open.lock().unwrap().remove(&stream);
        assert_eq!(known.as_ref(), Some(proxy), "ended once, and known");
    }
}

struct Server {
    address: SocketAddr,
    snapshots: watch::Sender<Arc<Snapshot>>,
    observer: Arc<Recorder>,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(first: Arc<Snapshot>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (snapshots, receiver) = watch::channel(first);
        let observer = Arc::new(Recorder::default());
        let (shutdown, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, receiver, observer.clone(), stopped));
        Self {
            address,
            snapshots,
            observer,
            shutdown,
            serving,
        }
    }

    async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.address);
        Channel::from_shared(uri).unwrap().connect().await.unwrap()
    }

    async fn sotw(&self) -> Sotw {
        let (requests, receiver) = mpsc::channel(16);
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel().await);
        let stream = ReceiverStream::new(receiver);
        let response = client.stream_aggregated_resources(stream).await.unwrap();
        Sotw {
            requests,
            responses: response.into_inner(),
        }
    }

    async fn delta(&self) -> Delta {
        let (requests, receiver) = mpsc::channel(16);
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel().await);
        let stream = ReceiverStream::new(receiver);
        let response = client.delta_aggregated_resources(stream).await.unwrap();
        Delta {
            requests,
            responses: response.into_inner(),
        }
    }

    /// The first response of an RPC to a single request.
    async fn first<Q, R>(&self, path: &str, request: Q) -> R
    where
        Q: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        let mut client = tonic::client::Grpc::new(self.channel().await);
        client.ready().await.unwrap();
        let open = tokio_stream::once(request).chain(tokio_stream::pending());
        let codec = ProstCodec::<Q, R>::default();
        let response = client.streaming(tonic::Request::new(open), path.parse().unwrap(), codec);
        let mut responses = response.await.unwrap().into_inner();
        let first = timeout(PATIENCE, responses.message()).await;
        first.expect("a response").unwrap().unwrap()
    }

    async fn eventually(&self, what: &str, condition: impl Fn(&Recorder) -> bool) {
        let poll = async {
            while !condition(&self.observer) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, poll).await.expect(what);
    }
}

struct Sotw {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Sotw {
    async fn ask(&self, kind: ResourceType, names: &[&str]) {
        let request = DiscoveryRequest {
            node: Some(node("proxy-1")),
            type_url: kind.type_url().to_owned(),
            resource_names: names.iter().map(ToString::to_string).collect(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }

    async fn next(&mut self, kind: ResourceType) -> DiscoveryResponse {
        let next = timeout(PATIENCE, self.responses.message()).await;
        let response = next.expect("a response").unwrap().unwrap();
        assert_eq!(response.type_url, kind.type_url());
        response
    }

    /// The next response, which has to be of that type, acknowledged.
    async fn accept(&mut self, kind: ResourceType, names: &[&str]) -> Vec<String> {
        let response = self.next(kind).await;
        let ack = DiscoveryRequest {
            type_url: response.type_url,
            version_info: response.version_info,
            response_nonce: response.nonce,
            resource_names: names.iter().map(ToString::to_string).collect(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(ack).await.unwrap();
        let text = |any: &envoy_types::pb::google::protobuf::Any| {
            assert_eq!(any.type_url, kind.type_url());
            String::from_utf8(any.value.clone()).unwrap()
        };
        response.resources.iter().map(text).collect()
    }
}

struct Delta {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Delta {
    async fn ask(&self, kind: ResourceType, names: &[&str]) {
        let request = DeltaDiscoveryRequest {
            node: Some(node("proxy-2")),
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(request).await.unwrap();
    }

    /// The next response, which has to be of that type, answered: contents, and
    /// `-name` for what is removed.
    async fn answer(&mut self, kind: ResourceType, error: Option<&str>) -> Vec<String> {
        let next = timeout(PATIENCE, self.responses.message()).await;
        let response = next.expect("a response").unwrap().unwrap();
        assert_eq!(response.type_url, kind.type_url());
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail: error.map(|message| Status {
                code: 13,
                message: message.to_owned(),
                ..Status::default()
            }),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(answer).await.unwrap();
        let resources = response.resources.into_iter();
        let text = |resource: envoy_types::pb::envoy::service::discovery::v3::Resource| {
            assert!(!resource.version.is_empty());
            String::from_utf8(resource.resource.unwrap().value).unwrap()
        };
        let removed = response.removed_resources.into_iter();
        resources
            .map(text)
            .chain(removed.map(|name| format!("-{name}")))
            .collect()
    }
}

fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        cluster: "edge".to_owned(),
        ..Node::default()
    }
}

#[tokio::test]
async fn a_proxy_gets_everything_and_then_each_change_in_order() {
    let first = [(CDS, "c", "c1"), (EDS, "c", "e1"), (ECDS, "f", "f1")];
    let server = Server::start(snapshot(&first)).await;
    let mut proxy = server.sotw().await;
    proxy.ask(CDS, &[]).await;
    assert_eq!(proxy.accept(CDS, &[]).await, ["c1"]);
    proxy.ask(EDS, &["c"]).await;
    assert_eq!(proxy.accept(EDS, &["c"]).await, ["e1"]);
    proxy.ask(ECDS, &["f"]).await;
    assert_eq!(proxy.accept(ECDS, &["f"]).await, ["f1"]);

    let second = snapshot(&[(CDS, "c", "c1"), (EDS, "c", "e2"), (ECDS, "f", "f2")]);
    server.snapshots.send_replace(second.clone());
    assert_eq!(proxy.accept(EDS, &["c"]).await, ["e2"]);
    assert_eq!(proxy.accept(ECDS, &["f"]).await, ["f2"]);
    let wanted = second.of(ECDS)["f"].version().clone();
    server
        .eventually("both are acknowledged", |recorder| {
            let confirmed = recorder.confirmed.lock().unwrap();
            let of = |kind| confirmed.get(&(StreamId(1), kind));
            of(ECDS).and_then(|held| held.get("f")) == Some(&wanted)
        })
        .await;
    let open = server.observer.open.lock().unwrap();
    let proxy = open.values().next().unwrap();
    assert_eq!((&*proxy.node, &*proxy.cluster), ("proxy-1", "edge"));
}

#[tokio::test]
async fn delta_says_only_what_changed() {
    let server = Server::start(snapshot(&[(CDS, "a", "a1"), (CDS, "b", "b1")])).await;
    let mut proxy = server.delta().await;
    proxy.ask(CDS, &[]).await;
    assert_eq!(proxy.answer(CDS, None).await, ["a1", "b1"]);
    proxy.ask(EDS, &["a"]).await;
    assert_eq!(proxy.answer(EDS, None).await, ["-a"]);
    let later = [(CDS, "b", "b2"), (EDS, "a", "e1")];
    server.snapshots.send_replace(snapshot(&later));
    assert_eq!(proxy.answer(CDS, None).await, ["b2"]);
    assert_eq!(proxy.answer(EDS, None).await, ["e1"]);
    assert_eq!(proxy.answer(CDS, None).await, ["-a"]);
}

#[tokio::test]
async fn a_refusal_reaches_the_observer_and_nothing_is_sent_again() {
    let server = Server::start(snapshot(&[(ECDS, "f", "bad")])).await;
    let mut proxy = server.delta().await;
    proxy.ask(ECDS, &["f"]).await;
    assert_eq!(proxy.answer(ECDS, Some("no good")).await, ["bad"]);
    let expected = ("proxy-2".to_owned(), ECDS, "no good".to_owned());
    server
        .eventually("the refusal is known", |recorder| {
            recorder.nacks.lock().unwrap().contains(&expected)
        })
        .await;
    server
        .snapshots
        .send_replace(snapshot(&[(ECDS, "f", "mended")]));
    assert_eq!(proxy.answer(ECDS, None).await, ["mended"]);
}

const SERVICES: [(ResourceType, &str, &str); 5] = [
    (CDS, "cluster.v3.ClusterDiscoveryService", "Clusters"),
    (EDS, "endpoint.v3.EndpointDiscoveryService", "Endpoints"),
    (LDS, "listener.v3.ListenerDiscoveryService", "Listeners"),
    (RDS, "route.v3.RouteDiscoveryService", "Routes"),
    (
        ECDS,
        "extension.v3.ExtensionConfigDiscoveryService",
        "ExtensionConfigs",
    ),
];

/// They know no other type, and need not be told which.
#[tokio::test]
async fn each_separate_service_serves_its_type_in_both_variants() {
    let all: Vec<_> = SERVICES.map(|(kind, ..)| (kind, "x", kind.name())).into();
    let server = Server::start(snapshot(&all)).await;
    for (kind, service, resources) in SERVICES {
        let path = |variant| format!("/envoy.service.{service}/{variant}{resources}");
        let request = message::DiscoveryRequest {
            resource_names: vec!["x".to_owned()],
            ..Default::default()
        };
        let response: message::DiscoveryResponse = server.first(&path("Stream"), request).await;
        assert_eq!(response.type_url, kind.type_url());
        assert!(response.resources[0].ends_with(kind.name().as_bytes()));

        let request = message::DeltaDiscoveryRequest {
            resource_names_subscribe: vec!["x".to_owned()],
            ..Default::default()
        };
        let response: message::DeltaDiscoveryResponse = server.first(&path("Delta"), request).await;
        assert_eq!(response.type_url, kind.type_url());
        assert!(response.resources[0].ends_with(kind.name().as_bytes()));
    }
}

/// As a part-only proxy does, with a listener of its own.
#[tokio::test]
async fn a_proxy_may_ask_for_a_part_and_is_sent_no_more() {
    let first = [(CDS, "c", "c1"), (EDS, "c", "e1"), (ECDS, "f", "f1")];
    let server = Server::start(snapshot(&first)).await;
    let mut proxy = server.delta().await;
    proxy.ask(EDS, &["c"]).await;
    assert_eq!(proxy.answer(EDS, None).await, ["e1"]);
    proxy.ask(ECDS, &["f"]).await;
    assert_eq!(proxy.answer(ECDS, None).await, ["f1"]);
    let second = [
        (CDS, "c", "c2"),
        (EDS, "c", "e2"),
        (ECDS, "f", "f2"),
        (LDS, "l", "l2"),
    ];
    server.snapshots.send_replace(snapshot(&second));
    assert_eq!(proxy.answer(EDS, None).await, ["e2"]);
    assert_eq!(proxy.answer(ECDS, None).await, ["f2"]);
    server.snapshots.send_replace(snapshot(&first));
    assert_eq!(
        proxy.answer(EDS, None).await,
        ["e1"],
        "and nothing before it"
    );
}

#[tokio::test]
async fn the_node_of_the_first_message_counts_for_the_stream() {
    let server = Server::start(snapshot(&[(CDS, "a", "a1")])).await;
    let mut proxy = server.sotw().await;
    proxy.ask(CDS, &[]).await;
    // Without a node, as Envoy answers, and with another one, as nobody should.
    proxy.accept(CDS, &[]).await;
    let other = DiscoveryRequest {
        node: Some(node("another")),
        type_url: EDS.type_url().to_owned(),
        resource_names: vec!["a".to_owned()],
        ..DiscoveryRequest::default()
    };
    proxy.requests.send(other).await.unwrap();
    server
        .snapshots
        .send_replace(snapshot(&[(CDS, "a", "a2"), (EDS, "a", "e")]));
    assert_eq!(proxy.accept(CDS, &[]).await, ["a2"]);
    let open = server.observer.open.lock().unwrap();
    let nodes: Vec<_> = open.values().map(|proxy| &*proxy.node).collect();
    assert_eq!(nodes, ["proxy-1"]);
}

/// Lets the clock of the server run ahead by that, without waiting.
async fn pass(seconds: f64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs_f64(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn what_was_refused_is_sent_again_after_5_seconds_and_then_ever_less_often() {
    let server = Server::start(snapshot(&[(ECDS, "f", "bad"), (RDS, "r", "1")])).await;
    let mut proxy = server.delta().await;
    proxy.ask(ECDS, &["f"]).await;
    assert_eq!(proxy.answer(ECDS, Some("no good")).await, ["bad"]);
    for (refused, pause) in [5.0, 10.0, 20.0].into_iter().enumerate() {
        server
            .eventually("the refusal is known", |recorder| {
                recorder.nacks.lock().unwrap().len() == refused + 1
            })
            .await;
        pass(pause - 0.5).await;
        // What had been sent before would come before the answer to this.
        proxy.ask(RDS, &["r"]).await;
        assert_eq!(proxy.answer(RDS, None).await, ["1"]);
        pass(0.6).await;
        let error = (pause < 20.0).then_some("still no good");
        assert_eq!(proxy.answer(ECDS, error).await, ["bad"]);
    }
    let accepted = server.snapshots.borrow().of(ECDS)["f"].version().clone();
    server
        .eventually("it is accepted", |recorder| {
            let confirmed = recorder.confirmed.lock().unwrap();
            let held = confirmed.get(&(StreamId(1), ECDS));
            held.and_then(|held| held.get("f")) == Some(&accepted)
        })
        .await;
    pass(1000.0).await;
    proxy.ask(RDS, &["r"]).await;
    assert_eq!(proxy.answer(RDS, None).await, ["1"]);
}

#[tokio::test]
async fn garbage_ends_its_own_stream_only() {
    let server = Server::start(snapshot(&[(CDS, "a", "a1")])).await;
    let mut good = server.sotw().await;
    good.ask(CDS, &[]).await;
    good.accept(CDS, &[]).await;

    let mut strange = server.sotw().await;
    let request = DiscoveryRequest {
        type_url: "nonsense".to_owned(),
        ..DiscoveryRequest::default()
    };
    strange.requests.send(request).await.unwrap();
    strange.ask(CDS, &[]).await;
    assert_eq!(strange.accept(CDS, &[]).await, ["a1"], "it was ignored");

    let mut client = tonic::client::Grpc::new(server.channel().await);
    client.ready().await.unwrap();
    let path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
    let garbage = tokio_stream::iter([ErrorDetail {
        code: -1,
        message: "not a request at all".to_owned(),
    }]);
    let codec = ProstCodec::<ErrorDetail, message::DiscoveryResponse>::default();
    let response = client.streaming(tonic::Request::new(garbage), path.parse().unwrap(), codec);
    let end = response.await.unwrap().into_inner().message().await;
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");

    server.snapshots.send_replace(snapshot(&[(CDS, "a", "a2")]));
    assert_eq!(good.accept(CDS, &[]).await, ["a2"]);
}

/// Its connection's buffers fill up at some point and the rest waits as what it
/// is: a look at the newest snapshot.
#[tokio::test]
async fn a_proxy_that_does_not_read_delays_nobody_and_skips_what_it_missed() {
    let content = |n: usize| format!("{n:06}").repeat(20_000);
    let with = |n| snapshot(&[(CDS, "a", content(n).as_str())]);
    let server = Server::start(with(0)).await;
    let mut stuck = server.sotw().await;
    stuck.ask(CDS, &[]).await;
    let mut good = server.sotw().await;
    good.ask(CDS, &[]).await;
    good.accept(CDS, &[]).await;
    let last = 150;
    for n in 1..=last {
        server.snapshots.send_replace(with(n));
        assert_eq!(good.accept(CDS, &[]).await, [content(n)]);
    }
    let mut received = 0;
    loop {
        received += 1;
        if stuck.accept(CDS, &[]).await == [content(last)] {
            break;
        }
    }
    assert!(received < last / 2, "{received} of {last} were kept for it");
}

#[tokio::test]
async fn of_many_quick_changes_the_last_always_arrives() {
    let with = |n: u32| snapshot(&[(CDS, "a", &n.to_string()), (ECDS, "f", &n.to_string())]);
    let server = Server::start(with(0)).await;
    let (mut sotw, mut delta) = (server.sotw().await, server.delta().await);
    sotw.ask(CDS, &[]).await;
    delta.ask(CDS, &[]).await;
    for round in 1..=20 {
        let last = round * 100;
        for n in last - 99..=last {
            server.snapshots.send_replace(with(n));
            if n % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        while sotw.accept(CDS, &[]).await != [last.to_string()] {}
        while delta.answer(CDS, None).await != [last.to_string()] {}
    }
}

/// tonic's own limit would be 4 MiB.
#[tokio::test]
async fn a_proxy_that_brings_along_very_much_is_served() {
    let server = Server::start(snapshot(&[(EDS, "wanted", "1")])).await;
    let mut proxy = server.delta().await;
    let held = (0..70_000).map(|n| (format!("{n:064}"), format!("{n:016}")));
    let request = DeltaDiscoveryRequest {
        type_url: EDS.type_url().to_owned(),
        resource_names_subscribe: vec!["wanted".to_owned()],
        initial_resource_versions: held.collect(),
        ..DeltaDiscoveryRequest::default()
    };
    assert!(prost::Message::encoded_len(&request) > 5 << 20);
    proxy.requests.send(request).await.unwrap();
    assert_eq!(proxy.answer(EDS, None).await, ["1"]);
}

#[tokio::test]
async fn nothing_is_left_of_a_stream_that_ended() {
    let server = Server::start(snapshot(&[(CDS, "a", "a1")])).await;
    for _ in 0..20 {
        let mut half_closed = server.sotw().await;
        half_closed.ask(CDS, &[]).await;
        half_closed.accept(CDS, &[]).await;
        drop(half_closed.requests);
        let end = timeout(PATIENCE, half_closed.responses.message()).await;
        assert!(end.unwrap().unwrap().is_none());
        let mut dropped = server.delta().await;
        dropped.ask(CDS, &[]).await;
        dropped.answer(CDS, None).await;
    }
    server
        .eventually("all are gone", |recorder| {
            recorder.open.lock().unwrap().is_empty()
        })
        .await;
    // What the server itself holds, and no stream.
    let receivers = || server.snapshots.receiver_count();
    let gone = async {
        while receivers() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("nobody looks any more");
}

#[tokio::test]
async fn at_shutdown_streams_end_at_once_and_even_a_stuck_one_soon() {
    let server = Server::start(snapshot(&[(CDS, "a", "x".repeat(4 << 20).as_str())])).await;
    let stuck = server.sotw().await;
    stuck.ask(CDS, &[]).await;
    let mut idle = server.sotw().await;
    idle.ask(LDS, &["none"]).await;
    idle.accept(LDS, &["none"]).await;
    let both = |recorder: &Recorder| recorder.open.lock().unwrap().len() == 2;
    server.eventually("both are open", both).await;

    server.shutdown.send(()).unwrap();
    let end = timeout(PATIENCE, idle.responses.message()).await.unwrap();
    assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    timeout(Duration::from_secs(5), server.serving)
        .await
        .expect("the server ends")
        .unwrap()
        .unwrap();
    let closed = async {
        while server.snapshots.receiver_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, closed)
        .await
        .expect("all streams are gone");
    assert!(server.observer.open.lock().unwrap().is_empty());
}

#[tokio::test]
async fn other_services_share_the_port_and_unknown_ones_are_unimplemented() {
    let server = Server::start(snapshot(&[])).await;
    let mut client = tonic::client::Grpc::new(server.channel().await);
    client.ready().await.unwrap();
    let codec = ProstCodec::<ErrorDetail, ErrorDetail>::default();
    let path = "/yorkies.v1.Nothing/Here".parse().unwrap();
    let request = tonic::Request::new(ErrorDetail::default());
    let error = client.unary(request, path, codec).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
}
