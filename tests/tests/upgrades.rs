//! Websockets pass through the router to the owner of their key.

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use sharding::SHARD_KEY;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use yorkies_tests::{Client, Mode, Request, Router, Settings, TestEnvironment};

const KEY: &str = "project/document";

#[test]
fn a_websocket_reaches_the_owner_over_http_1_and_over_http_2() {
    // What a member is spoken to in does not depend on what the client speaks, except by `downstream`.
    for upstream in ["http1", "h2c", "downstream"] {
        TestEnvironment::run(async |env| {
            let settings = Settings {
                upstream,
                ..Settings::default()
            };
            let members = env.members(3).await?;
            let entries = members.iter().map(|member| member.entry(1)).collect();
            let router = Router::start(env, settings, Mode::Delta, entries).await?;
            let expected = router.expected()?;
            let owner = expected.owner(KEY.as_bytes()).context("no member")?.member;

            let upgrade = Request::new(Method::GET, "/socket")
                .header("connection", "upgrade")?
                .header("upgrade", "websocket")?;
            let connect = Request::connect("websocket", "/socket");
            for (client, request, status) in [
                (&router.http1, upgrade, StatusCode::SWITCHING_PROTOCOLS),
                (&router.h2c, connect, StatusCode::OK),
            ] {
                let request = request.header(SHARD_KEY, KEY)?;
                expect_echo(client, &request, status, &owner.id)
                    .await
                    .with_context(|| format!("{request:?}, upstream {upstream}"))?;
            }
            Ok(())
        });
    }
}

async fn expect_echo(
    client: &Client,
    request: &Request,
    status: StatusCode,
    owner: &str,
) -> Result<()> {
    let response = client.open(request).await?;
    ensure!(response.status() == status, "{response:?}");
    let answered = response
        .headers()
        .get("x-answered-by")
        .context("no member answers")?;
    ensure!(answered == owner, "answered by {answered:?}");
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await?);
    for message in [b"first", b"again"] {
        socket.write_all(message).await?;
        let mut echo = [0; 5];
        socket.read_exact(&mut echo).await?;
        ensure!(&echo == message, "{echo:?}");
    }
    Ok(())
}
