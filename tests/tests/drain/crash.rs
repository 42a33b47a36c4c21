//! A VM that crashes with streams open.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, ensure};
use http::StatusCode;
use hyper_util::rt::TokioIo;
use sharding::{Roster, SHARD_KEY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use yorkies_tests::{
    Member, Request, TestEnvironment, crashing_filter_module, equal_weights, expect_owners, keys,
    patience,
};

use crate::scene::{AT_ONCE, LOOK, Scene, assignment, moved, watches_of};

const STREAMS: u64 = 80;
const CRASH: &str = "project/crash";

#[test]
fn after_a_crash_requests_go_where_they_should_and_streams_that_are_left_are_counted() {
    TestEnvironment::run(async |env| {
        env.expect_crashes();
        let members = env.members(3).await?;
        let two = Roster::new(equal_weights(&members[..2]))?;
        let three = Roster::new(equal_weights(&members))?;
        let module = crashing_filter_module()?;
        let mut scene = Scene::start_with(env, &members[..2], &module, |_| Ok(())).await?;
        let watchers = scene.watch(&keys(40)).await?;
        // On the connection that the crash will come by, and so on its worker.
        let connect =
            Request::connect("websocket", "/socket").header(SHARD_KEY, "project/socket")?;
        let response = scene.clients[0].open(&connect).await?;
        let mut socket = TokioIo::new(hyper::upgrade::on(response).await?);
        socket.write_all(b"hello").await?;
        let mut echo = [0; 5];
        socket.read_exact(&mut echo).await?;
        scene.expect_stat("open_streams", STREAMS + 1).await?;

        let start = Instant::now();
        let crash = Request::of_key(CRASH)?.header("x-crash", "yes")?;
        let reply = scene.clients[0].send(&crash).await?;
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        let orphaned = scene.filter_stat("streams_orphaned").await?;
        ensure!((2..STREAMS).contains(&orphaned), "{orphaned} are orphaned");
        scene
            .expect_stat("open_streams", STREAMS + 1 - orphaned)
            .await?;
        let log = scene.envoy.log().await?;
        let alarm = format!("yorkies: {orphaned} open streams are left without a filter");
        ensure!(log.contains(&alarm), "no alarm: {log}");

        // The next comes too soon for Envoy, which lets no request pass until it has tried again.
        scene.settle().await?;
        let reply = scene.clients[0].send(&crash).await?;
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        scene.settle().await?;
        expect_all_filtered(&members)?;
        for client in &scene.clients {
            expect_owners(client, &assignment(&two), &keys(1_000)).await?;
        }
        ensure!(scene.stat("wasm.yorkies.vm_reload_success").await? == 2);
        ensure!(scene.filter_stat("streams_orphaned").await? == orphaned);
        ensure!(
            watchers.ended_since(start).is_empty(),
            "the crash ends streams"
        );

        // Streams of the VM that is gone stay where they are; the others end.
        let moved = moved(&watchers, &two, &three);
        scene.members(&three).await?;
        let start = Instant::now();
        scene.assign(&three, AT_ONCE).await?;
        scene.expect_stat("misplaced_streams", 0).await?;
        tokio::time::sleep(LOOK).await;
        scene.expect_stat("misplaced_streams", 0).await?;
        let ended = watches_of(&watchers.ended_since(start))?;
        ensure!(!ended.is_empty() && ended.is_subset(&moved), "{ended:?}");
        let left: BTreeSet<_> = moved.difference(&ended).collect();
        ensure!(
            !left.is_empty() && (left.len() as u64) < orphaned,
            "{left:?}"
        );

        // Envoy itself ends such a stream with its next message.
        socket.write_all(b"hello").await?;
        let mut rest = Vec::new();
        let end = timeout(patience(), socket.read_to_end(&mut rest)).await?;
        println!("{orphaned} streams orphaned; the end of one: {end:?}");
        ensure!(rest.is_empty(), "{rest:?}");
        Ok(())
    });
}

/// That every request that a member got had passed the filter, and that the one
/// that it crashed at got nowhere.
fn expect_all_filtered(members: &[Member]) -> Result<()> {
    for member in members {
        let arrivals = member.arrivals();
        let (all, filtered) = (member.requests(), arrivals.len() as u64);
        ensure!(
            all == filtered,
            "{filtered} of {all} requests have an epoch"
        );
        ensure!(!arrivals.iter().any(|arrival| arrival.key == CRASH));
    }
    Ok(())
}
