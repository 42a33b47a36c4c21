//! Requests whose key is to come in their body, and whose body does not come.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio_stream::{Stream, StreamExt};
use yorkies_tests::{
    Mode, Request, Router, Settings, TestEnvironment, equal_weights, eventually, patience,
};

const PUSH_PULL: &str = "/yorkie.v1.YorkieService/PushPullChanges";

/// As [`CONFIGURATION`] has it.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);
const CONFIGURATION: &str = "body_timeout: 2s\n";

/// More than the filter refuses at once.
const MANY: usize = 100;

async fn start(env: &mut TestEnvironment) -> Result<Router> {
    let members = env.members(1).await?;
    let settings = Settings {
        more: CONFIGURATION,
        ..Settings::default()
    };
    Router::start(env, settings, Mode::Delta, equal_weights(&members)).await
}

/// What came of such a request.
struct Outcome {
    status: StatusCode,
    grpc_status: Option<String>,
    text: String,
    after: Duration,
}

/// Sends a request with that body over a connection of its own.
fn open<S>(
    router: &Router,
    is_http2: bool,
    content_type: &str,
    body: S,
) -> Result<legacy::ResponseFuture>
where
    S: Stream<Item = Bytes> + Send + Unpin + 'static,
{
    let frames = body.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let uri = format!("http://{}{PUSH_PULL}", router.h2c.address());
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header("content-type", content_type)
        .body(StreamBody::new(frames))?;
    let lane = legacy::Client::builder(TokioExecutor::new())
        .http2_only(is_http2)
        .build(HttpConnector::new());
    Ok(lane.request(request))
}

/// The same, and waits for its response.
async fn send<S>(router: &Router, is_http2: bool, content_type: &str, body: S) -> Result<Outcome>
where
    S: Stream<Item = Bytes> + Send + Unpin + 'static,
{
    let start = Instant::now();
    let exchange = async {
        let response = open(router, is_http2, content_type, body)?;
        let (head, body) = response.await?.into_parts();
        let after = start.elapsed();
        let grpc_status = head.headers.get("grpc-status");
        let grpc_status = grpc_status.map(|value| value.to_str().map(str::to_owned));
        Ok(Outcome {
            status: head.status,
            grpc_status: grpc_status.transpose()?,
            text: String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned(),
            after,
        })
    };
    let answered = tokio::time::timeout(patience(), exchange).await;
    answered.with_context(|| format!("{content_type} is held for ever"))?
}

/// A body that begins like a message and never goes on.
fn unfinished() -> impl Stream<Item = Bytes> + Send + Unpin + 'static {
    tokio_stream::once(Bytes::from_static(b"{\"changePack\":")).chain(tokio_stream::pending())
}

/// Ticks come once a second, and this machine may be busy.
fn expect_in_time(after: Duration) -> Result<()> {
    let limits = BODY_TIMEOUT..BODY_TIMEOUT + Duration::from_secs(6);
    ensure!(limits.contains(&after), "answered after {after:?}");
    Ok(())
}

#[test]
fn a_request_whose_body_never_comes_is_refused_as_unavailable_in_its_protocol() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        for is_http2 in [true, false] {
            let unary = send(&router, is_http2, "application/json", unfinished());
            // The flags and the length of an envelope whose message does not follow.
            let envelope = Bytes::from_static(&[0, 0, 0, 0, 99]);
            let envelope = tokio_stream::once(envelope).chain(tokio_stream::pending());
            let grpc = send(&router, is_http2, "application/grpc", envelope);
            let (unary, grpc) = tokio::try_join!(unary, grpc)?;
            ensure!(
                unary.status == StatusCode::SERVICE_UNAVAILABLE
                    && unary.text.contains("\"code\":\"unavailable\"")
                    && unary.text.contains("within 2s"),
                "{}: {}",
                unary.status,
                unary.text
            );
            expect_in_time(unary.after)?;
            let status = grpc.grpc_status.as_deref();
            ensure!(
                grpc.status == StatusCode::OK && status == Some("14"),
                "{}: {status:?}",
                grpc.status,
            );
            expect_in_time(grpc.after)?;
        }
        let refused =
            " path=/yorkie.v1.YorkieService/PushPullChanges protocol=HTTP/1.1 status=503 ";
        eventually("counted and in the access log", async || {
            let stats = router.envoy.admin()?.stats().await?;
            let counted = stats.get("wasmcustom.yorkies.requests.refused.body_timeout");
            ensure!(counted == Some(&4), "{counted:?}");
            let log = router.envoy.log().await?;
            let mut lines = log.lines().filter(|line| line.contains(refused));
            let line = lines.next().context("no line")?;
            ensure!(line.contains(" details=yorkies_body_timeout "), "{line}");
            Ok(())
        })
        .await
    });
}

#[test]
fn a_body_that_trickles_in_is_refused_as_soon() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        let blank = Bytes::from_static(b" ");
        let trickle = tokio_stream::iter(std::iter::repeat(blank));
        let trickle = Box::pin(trickle.throttle(Duration::from_millis(200)));
        let outcome = send(&router, true, "application/json", trickle).await?;
        ensure!(outcome.status == StatusCode::SERVICE_UNAVAILABLE);
        expect_in_time(outcome.after)
    });
}

#[test]
fn many_that_are_held_disturb_nobody_and_all_end() {
    TestEnvironment::run(async |env| {
        let router = std::sync::Arc::new(start(env).await?);
        let mut held = JoinSet::new();
        for number in 0..MANY {
            let router = router.clone();
            held.spawn(async move {
                send(&router, number % 2 == 0, "application/json", unfinished()).await
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < BODY_TIMEOUT / 2 {
            router.h2c.ask("project/document").await?;
        }
        // Some leave before they are refused; what is left of them is nobody.
        for is_http2 in [true, false] {
            let gone = open(&router, is_http2, "application/json", unfinished())?;
            let gone = tokio::time::timeout(BODY_TIMEOUT / 10, gone).await;
            ensure!(gone.is_err(), "answered at once: {gone:?}");
        }
        while let Some(outcome) = held.join_next().await {
            let outcome = outcome??;
            ensure!(outcome.status == StatusCode::SERVICE_UNAVAILABLE);
            expect_in_time(outcome.after)?;
        }
        // By the time that this one is refused, those that left would have been.
        send(&router, true, "application/json", unfinished()).await?;
        let request = Request::of_key("project/document")?;
        for reply in router.h2c.on_each_connection(&request).await? {
            reply.answer()?;
        }
        eventually("counted", async || {
            let stats = router.envoy.admin()?.stats().await?;
            let counted = stats.get("wasmcustom.yorkies.requests.refused.body_timeout");
            ensure!(counted == Some(&(MANY as u64 + 1)), "{counted:?}");
            let errors = stats.get("wasmcustom.yorkies.host.errors");
            ensure!(errors == Some(&0), "{errors:?} host errors");
            Ok(())
        })
        .await
    });
}
