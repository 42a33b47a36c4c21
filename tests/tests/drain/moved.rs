//! Exactly the streams that moved end.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sharding::{Drain, FilterConfig, Phase, Report, Roster};
use yorkies_tests::{Protocol, TestEnvironment, Traffic, equal_weights, eventually, keys};

use crate::scene::{AT_ONCE, LOOK, Scene, all_open, assignment, config, ended, moved, watches_of};

#[test]
fn exactly_the_streams_that_moved_end_on_release_and_none_before() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let three = Roster::new(equal_weights(&members[..3]))?;
        let four = Roster::new(equal_weights(&members))?;
        let mut scene = Scene::start(env, &members[..3]).await?;
        let watchers = scene.watch(&keys(120)).await?;
        let traffic = Traffic::start(scene.clients[0].clone(), keys(50));
        let moved = moved(&watchers, &three, &four);
        ensure!((20..120).contains(&moved.len()), "{moved:?}");
        scene.expect_stat("open_streams", 240).await?;

        let start = Instant::now();
        scene.members(&four).await?;
        scene.assign(&four, Drain::Hold).await?;
        scene
            .expect_stat("misplaced_streams", moved.len() as u64)
            .await?;
        tokio::time::sleep(LOOK).await;
        let early = watchers.ended_since(start);
        ensure!(early.is_empty(), "ended while on hold: {early:?}");

        let release = scene.release(&four, 0)?;
        let took = ended(&watchers, release, moved.len()).await?;
        scene.expect_stat("misplaced_streams", 0).await?;
        scene
            .expect_stat("drained.reset", moved.len() as u64)
            .await?;
        tokio::time::sleep(LOOK).await;
        let sessions = watchers.ended_since(start);
        ensure!(watches_of(&sessions)? == moved, "{sessions:#?}");
        println!("{} streams ended within {took:?}", moved.len());
        let version = scene.envoy.admin()?.version().await?;
        for session in &sessions {
            let (_, how) = session.ended.as_ref().context("it has ended")?;
            let is_http2 = watchers.watches()[session.watch].protocol == Protocol::H2c;
            // A reset of its stream, with INTERNAL_ERROR, or from Envoy 1.36 with NO_ERROR, which looks like an
            // end; or the connection closed amid a chunked body.
            let as_expected = match (is_http2, version) {
                (true, (1, 36)) => how == "end",
                (true, _) => how.contains("internal error"),
                (false, _) => how.contains("unexpected EOF"),
            };
            ensure!(as_expected, "{how} from Envoy {version:?}");
        }

        // They are back, and everybody is where the assignment says.
        all_open(&watchers).await?;
        let owners = assignment(&four);
        for session in watchers.open() {
            let key = &watchers.watches()[session.watch].key;
            let owner = owners.owner(key.as_bytes()).context("no owner")?.member;
            ensure!(session.address == owner.address, "{key}: {session:?}");
        }
        ensure!(watchers.refusals().is_empty(), "{:?}", watchers.refusals());
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "{report:?}");
        scene.expect_stat("drain_stopped", 0).await?;
        expect_told(&scene, moved.len() as u64)
    });
}

/// Both workers have told of every step.
fn expect_told(scene: &Scene, moved: u64) -> Result<()> {
    let last = scene.last_reports();
    ensure!(last.len() == 2, "one VM for each worker: {last:#?}");
    let sum = |of: fn(&Report) -> u64| last.iter().map(of).sum::<u64>();
    ensure!(sum(|report| report.open) == 240, "{last:#?}");
    ensure!(sum(|report| report.drained) == moved, "{last:#?}");
    let members = last.iter().flat_map(|report| &report.members);
    ensure!(members.map(|member| member.open).sum::<u64>() == 240);
    for report in &last {
        let is_done = report.misplaced == 0 && report.phase() == Phase::Released;
        ensure!(is_done && report.epoch == scene.epoch, "{report:?}");
        ensure!(report.node == "envoy-0", "{report:?}");
        let of_vm = scene.reports_in_order().into_iter();
        let of_vm = of_vm.filter(|other| other.vm == report.vm && other.epoch == scene.epoch);
        let mut steps: Vec<_> = of_vm
            .map(|report| (report.phase(), report.misplaced > 0))
            .collect();
        // Those on the way to it may be too close to be told.
        steps.retain(|step| *step != (Phase::Released, true));
        steps.dedup();
        let all = [(Phase::Hold, true), (Phase::Released, false)];
        ensure!(steps == all, "{steps:?}");
    }
    Ok(())
}

#[test]
fn a_control_plane_that_cannot_be_told_is_no_harm() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene = Scene::start(env, &members[..1]).await?;
        let watchers = scene.watch(&keys(20)).await?;
        scene.members(&second).await?;
        scene.epoch += 1;
        let release = Instant::now();
        scene.files.set_filter(&FilterConfig {
            report_to: Some("nowhere".to_owned()),
            ..config(&scene.common, scene.epoch, &second, AT_ONCE)
        })?;
        ended(&watchers, release, 40).await?;
        eventually("counted", async || {
            let failed = scene.filter_stat("reports.failed").await?;
            ensure!(failed >= 4, "{failed} reports failed");
            Ok(())
        })
        .await?;
        ensure!(watchers.ended_since(release).len() == 40);
        Ok(())
    });
}
