//! Websockets pass through the router to the owner of their key.

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use sharding::SHARD_KEY;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use yorkies_tests::{Mode, Request, Router, Settings, TestEnvironment};

#[test]
fn a_websocket_reaches_the_owner_over_http_1_and_over_http_2() {
    for upstream in ["http1", "h2c", "downstream"] {
        TestEnvironment::run(async |env| {
            let settings = Settings {
                upstream,
                ..Settings::default()
            };
            expect_echo(env, settings).await.context(upstream)
        });
    }
}

async fn expect_echo(env: &mut TestEnvironment, settings: Settings) -> Result<()> {
    let members = env.members(3).await?;
    let entries = members.iter().map(|member| member.entry(1)).collect();
    let router = Router::start(env, settings, Mode::Delta, entries).await?;
    let request = Request::new(Method::GET, "/socket")
        .header(SHARD_KEY, "project/document")?
        .header("connection", "upgrade")?
        .header("upgrade", "websocket")?;
    let response = router.http1.open(&request).await?;
    ensure!(
        response.status() == StatusCode::SWITCHING_PROTOCOLS,
        "{response:?}"
    );
    let expected = router.expected()?;
    let owner = expected
        .owner(b"project/document")
        .context("no member")?
        .member;
    let answered = response
        .headers()
        .get("x-answered-by")
        .context("no member answers")?;
    ensure!(answered == &*owner.id, "answered by {answered:?}");
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await?);
    for message in [b"first", b"again"] {
        socket.write_all(message).await?;
        let mut echo = [0; 5];
        socket.read_exact(&mut echo).await?;
        ensure!(&echo == message, "{echo:?}");
    }
    Ok(())
}
