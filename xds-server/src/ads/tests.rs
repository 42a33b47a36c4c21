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
use tonic::Streaming;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use super::*;
use crate::snapshot::ResourceType;

mod answers;
mod refused;
mod streams;

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
