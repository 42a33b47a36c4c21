//! What a proxy gets for what it asks.

use tonic::Code;

use super::*;
use crate::ads::message::ErrorDetail;
use crate::ads::support::{CDS, ECDS, EDS, LDS, RDS, snapshot};

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
