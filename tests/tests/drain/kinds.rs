//! What ends how: requests that wait for their response, calls, upgrades.

use anyhow::ensure;
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use sharding::{Roster, SHARD_KEY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use yorkies_tests::{
    Client, Request, STAY_SILENT, TestEnvironment, equal_weights, eventually, patience,
};

use crate::scene::{AT_ONCE, LOOK, PUSH, Scene, WATCH};

#[test]
fn a_stream_that_waits_for_its_response_is_told_to_come_again_and_a_call_is_not() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene = Scene::start(env, &members[..1]).await?;
        let silent = |path: &str, content_type: &str| {
            let request = Request::new(Method::POST, path).header(SHARD_KEY, "project/document")?;
            let request = request.header("content-type", content_type)?;
            request.header(STAY_SILENT, "yes")
        };
        let waiting = |client: &Client, path: &'static str, content_type: &'static str| {
            let (client, request) = (client.clone(), silent(path, content_type));
            tokio::spawn(async move { client.send(&request?).await })
        };
        let [h2c, http1] = &scene.clients;
        let connect = waiting(h2c, WATCH, "application/connect+json");
        let grpc = waiting(h2c, WATCH, "application/grpc");
        let plain = waiting(http1, WATCH, "text/plain");
        let call = waiting(http1, PUSH, "application/json");
        eventually("at the member", async || {
            let silent = members[0].arrivals().into_iter();
            let silent = silent.filter(|arrival| arrival.key == "project/document");
            ensure!(silent.count() == 4);
            Ok(())
        })
        .await?;

        scene.members(&second).await?;
        scene.assign(&second, AT_ONCE).await?;
        let connect = connect.await??;
        ensure!(connect.status == StatusCode::OK, "{connect:?}");
        ensure!(
            connect.text().contains(r#""code":"unavailable""#),
            "{connect:?}"
        );
        let grpc = grpc.await??;
        ensure!(grpc.header("grpc-status")? == "14", "{grpc:?}");
        let plain = plain.await??;
        ensure!(plain.status == StatusCode::SERVICE_UNAVAILABLE, "{plain:?}");
        scene.expect_stat("drained.answered", 3).await?;
        tokio::time::sleep(LOOK).await;
        ensure!(!call.is_finished(), "a call is left to end");
        scene.expect_stat("drained.reset", 0).await?;
        call.abort();
        Ok(())
    });
}

#[test]
fn websockets_end_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene = Scene::start(env, &members[..1]).await?;
        let upgrade = Request::new(Method::GET, "/socket")
            .header("connection", "upgrade")?
            .header("upgrade", "websocket")?;
        let connect = Request::connect("websocket", "/socket");
        let mut sockets = Vec::new();
        for (client, request) in scene.clients.iter().rev().zip([upgrade, connect]) {
            let request = request.header(SHARD_KEY, "project/document")?;
            let response = client.open(&request).await?;
            ensure!(!response.status().is_client_error(), "{response:?}");
            let mut socket = TokioIo::new(hyper::upgrade::on(response).await?);
            socket.write_all(b"hello").await?;
            let mut echo = [0; 5];
            socket.read_exact(&mut echo).await?;
            sockets.push(socket);
        }
        scene.members(&second).await?;
        scene.assign(&second, AT_ONCE).await?;
        for socket in &mut sockets {
            let mut rest = Vec::new();
            // An error or an end: it depends on the protocol.
            let _ = timeout(patience(), socket.read_to_end(&mut rest)).await?;
        }
        scene.expect_stat("drained.reset", 2).await
    });
}
