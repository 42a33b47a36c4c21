//! Unary calls, which are expected to end by themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use sharding::{Roster, SHARD_KEY};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use yorkies_tests::{
    Member, Reply, STAY_OPEN, TestEnvironment, equal_weights, eventually, patience,
};

use crate::scene::{AT_ONCE, PUSH, Scene};

/// So long that a call which begins right before a move has time to finish on
/// a slow machine.
const GRACE: Duration = Duration::from_secs(6);

#[test]
fn a_call_that_outlasts_the_grace_is_treated_as_a_stream_and_one_within_it_finishes() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene = Scene::start(env, &members[..1]).await?;
        scene.common.unary_grace_ms = GRACE.as_millis() as u64;
        let first = Roster::new(equal_weights(&members[..1]))?;
        scene.assign(&first, AT_ONCE).await?;

        let proxy = scene.envoy.address().await?;
        let silent = Call::start(proxy, false)?;
        let answered = Call::start(proxy, true)?;
        eventually("at the member", async || {
            ensure!(arrived(&members[0]) == 2);
            Ok(())
        })
        .await?;
        // None of them is counted before it is taken for a stream.
        ensure!(scene.filter_stat("open_streams").await? == 0);
        scene.expect_stat("open_streams", 2).await?;
        let finishes = Call::start(proxy, false)?;
        let lasts = Call::start(proxy, false)?;
        eventually("at the member", async || {
            ensure!(arrived(&members[0]) == 4);
            Ok(())
        })
        .await?;

        scene.members(&second).await?;
        scene.assign(&second, AT_ONCE).await?;
        let reply = silent.reply().await?;
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        ensure!(
            reply.text().contains(r#""code":"unavailable""#),
            "{reply:?}"
        );
        let cut = answered.reply().await;
        ensure!(cut.is_err(), "reset within its response: {cut:?}");
        let reply = finishes.finish().await?;
        ensure!(reply.answer()?.member == "yorkie-0", "{reply:?}");
        scene.expect_stat("drained.answered", 1).await?;
        scene.expect_stat("drained.reset", 1).await?;

        // Its grace ends while it is misplaced.
        let reply = lasts.reply().await?;
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        scene.expect_stat("drained.answered", 2).await?;
        scene.expect_stat("misplaced_streams", 0).await
    });
}

fn arrived(member: &Member) -> usize {
    let arrivals = member.arrivals().into_iter();
    arrivals.filter(|arrival| arrival.key == CALLED).count()
}

const CALLED: &str = "project/called";

/// A unary call whose caller has not said all yet.
struct Call {
    rest: Option<mpsc::Sender<Result<Frame<Bytes>, Infallible>>>,
    response: JoinHandle<Result<Reply>>,
}

impl Call {
    /// `is_answered`: he has, and the response begins and does not end.
    fn start(proxy: SocketAddr, is_answered: bool) -> Result<Self> {
        let (rest, frames) = mpsc::channel(1);
        let rest = Some(rest).filter(|_| !is_answered);
        let mut request = http::Request::post(format!("http://{proxy}{PUSH}"))
            .header("content-type", "application/json")
            .header(SHARD_KEY, CALLED);
        if is_answered {
            request = request.header(STAY_OPEN, "yes");
        }
        let request = request.body(StreamBody::new(ReceiverStream::new(frames)))?;
        let client = legacy::Client::builder(TokioExecutor::new())
            // Envoy 1.36 ends a stream of HTTP/2 that it resets as if all had been said.
            .http2_only(!is_answered)
            .build_http();
        let response = tokio::spawn(async move {
            let (head, body) = client.request(request).await?.into_parts();
            let (status, headers) = (head.status, head.headers);
            let body = body.collect().await?.to_bytes();
            Ok(Reply {
                status,
                headers,
                body,
            })
        });
        Ok(Self { rest, response })
    }

    /// What comes of it if its caller says no more.
    async fn reply(self) -> Result<Reply> {
        timeout(patience(), self.response).await??
    }

    /// Says the rest.
    async fn finish(self) -> Result<Reply> {
        drop(self.rest);
        timeout(patience(), self.response).await??
    }
}
