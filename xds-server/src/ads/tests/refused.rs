//! What a proxy refuses, and what is refused to it.

use super::*;
use crate::ads::message::ErrorDetail;
use crate::ads::support::{CDS, ECDS, RDS, snapshot};

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
