//! Assignments that are not what Envoy does.

use std::time::Instant;

use anyhow::{Result, ensure};
use sharding::{Drain, Phase, Roster};
use yorkies_tests::{Member, TestEnvironment, Traffic, equal_weights, eventually, keys};

use crate::scene::{AT_ONCE, LOOK, Scene, watches_of};

#[test]
fn a_wrong_assignment_ends_each_stream_once_at_most_and_then_nothing() {
    TestEnvironment::run(async |env| {
        // The alarm is an error in Envoy's log.
        env.expect_faults();
        let members = env.members(2).await?;
        let right = Roster::new(equal_weights(&members))?;
        let swapped = swapped(&members)?;
        let mut scene = Scene::start(env, &members).await?;
        let watchers = scene.watch(&keys(80)).await?;
        let start = Instant::now();
        scene.assign(&swapped, AT_ONCE).await?;
        eventually("stopped", async || {
            let stopped = scene.filter_stat("drain_stopped").await?;
            ensure!(stopped == 2, "{stopped} of 2 workers have stopped");
            Ok(())
        })
        .await?;
        let after_stop = Instant::now();
        tokio::time::sleep(LOOK).await;
        let sessions = watchers.ended_since(start);
        watches_of(&sessions)?;
        println!("{} of 160 streams ended", sessions.len());
        ensure!(watchers.ended_since(after_stop).is_empty());
        ensure!(scene.filter_stat("prediction_mismatches").await? > 0);
        let stopped = scene
            .last_reports()
            .into_iter()
            .all(|report| report.phase() == Phase::Stopped);
        ensure!(stopped, "{:#?}", scene.last_reports());
        let log = scene.envoy.log().await?;
        let alarms = log
            .matches("requests go elsewhere than epoch 2 says")
            .count();
        ensure!(alarms == 2, "{alarms} alarms");

        // The next one is right: nobody has to move, and draining goes on.
        scene.assign(&right, AT_ONCE).await?;
        eventually("going on", async || {
            scene.clients[1].ask(&keys(1)[0]).await?;
            scene.settle().await?;
            ensure!(scene.filter_stat("drain_stopped").await? == 0);
            Ok(())
        })
        .await?;
        tokio::time::sleep(LOOK).await;
        ensure!(watchers.ended_since(after_stop).is_empty());
        ensure!(watchers.open().len() == 160);
        Ok(())
    });
}

#[test]
fn a_wrong_assignment_that_is_held_at_first_ends_nothing() {
    TestEnvironment::run(async |env| {
        env.expect_faults();
        let members = env.members(2).await?;
        let swapped = swapped(&members)?;
        let mut scene = Scene::start(env, &members).await?;
        let watchers = scene.watch(&keys(80)).await?;
        let start = Instant::now();
        let traffic = Traffic::start(scene.clients[1].clone(), keys(50));
        // What it takes to be sure that all workers have it is evidence enough.
        scene.assign(&swapped, Drain::Hold).await?;
        scene.release(&swapped, 0)?;
        scene.expect_stat("drain_stopped", 2).await?;
        traffic.stop().await?;
        let sessions = watchers.ended_since(start);
        ensure!(sessions.is_empty(), "{sessions:#?}");
        Ok(())
    });
}

/// Each of the two members at the address of the other.
fn swapped(members: &[Member]) -> Result<Roster> {
    let mut entries = equal_weights(members);
    let [a, b] = &mut entries[..] else {
        anyhow::bail!("two members are swapped");
    };
    std::mem::swap(&mut a.address, &mut b.address);
    Ok(Roster::new(entries)?)
}
