//! Whoever is killed, and whenever: routing goes on, afterwards everybody
//! agrees again, and the epoch never goes back.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use sharding::Member as Entry;
use yorkies_tests::{
    Member, Mode, Protocol, Router, Settings, TestEnvironment, Traffic, eventually, keys,
};

/// Keys in a look at who owns what.
const KEYS: usize = 1_000;

/// Keys in each round of the traffic that goes on meanwhile.
const TRAFFIC: usize = 100;

/// Between an edit and a kill: from before the edit is noticed until all of its
/// consequences have passed.
const MOMENTS_MS: [u64; 6] = [0, 30, 55, 65, 80, 150];

#[test]
fn routing_goes_on_while_the_control_plane_is_down_and_follows_it_afterwards() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let mut router = start(env, Mode::Delta, entries(&members, &[0, 1, 2])).await?;
        let before = router.expected()?;

        let traffic = Traffic::start(router.h2c.clone(), keys(TRAFFIC));
        router.control_plane.kill()?;
        router
            .control_plane
            .members()
            .overwrite_text("members: [garbage")?;
        yorkies_tests::expect_owners(&router.http1, &before, &keys(KEYS)).await?;
        router.edit(entries(&members, &[0, 2, 3]))?;
        yorkies_tests::expect_owners(&router.http1, &before, &keys(KEYS)).await?;
        traffic.stop().await?.expect_flawless()?;

        let traffic = Traffic::start(router.h2c.clone(), keys(TRAFFIC));
        router.control_plane.restart().await?;
        router.settle().await?;
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");
        router.expect_owners(&keys(KEYS)).await
    });
}

#[test]
fn a_control_plane_killed_at_any_moment_is_followed_again() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let mut router = start(env, Mode::Sotw, entries(&members, &[0, 1, 2])).await?;
        let traffic = Traffic::start(router.h2c.clone(), keys(TRAFFIC));
        for (round, moment) in MOMENTS_MS.into_iter().enumerate() {
            router.edit(rotated(&members, round))?;
            tokio::time::sleep(Duration::from_millis(moment)).await;
            router.control_plane.kill()?;
            router.control_plane.restart().await?;
            router.settle().await?;
            router.expect_owners(&keys(KEYS)).await?;
        }
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");
        Ok(())
    });
}

#[test]
fn an_envoy_killed_at_any_moment_agrees_again() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let mut router = start(env, Mode::Delta, entries(&members, &[0, 1, 2])).await?;
        for (round, moment) in MOMENTS_MS.into_iter().enumerate() {
            router.edit(rotated(&members, round))?;
            tokio::time::sleep(Duration::from_millis(moment)).await;
            router.envoy.kill().await?;
            router.envoy.restart().await?;
            // It may still have got the old assignment.
            let before = router.epoch();
            router.reconnect().await?;
            if router.epoch() == before {
                router.settle().await?;
            }
            router.expect_owners(&keys(KEYS)).await?;
        }
        Ok(())
    });
}

#[test]
fn a_restarted_control_plane_serves_the_last_good_roster_when_the_file_is_garbage() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let mut router = start(env, Mode::Delta, entries(&members, &[0, 1, 2])).await?;
        let epoch = router.epoch();
        router.envoy.kill().await?;
        router.control_plane.kill()?;
        router
            .control_plane
            .members()
            .overwrite_text("members: [garbage")?;
        router.control_plane.restart().await?;
        router.envoy.restart().await?;
        router.reconnect().await?;
        ensure!(router.epoch() == epoch, "nothing has changed but the epoch");
        router.expect_owners(&keys(KEYS)).await?;
        router.change(entries(&members, &[0, 1, 2, 3])).await?;
        router.expect_owners(&keys(KEYS)).await
    });
}

#[test]
fn an_epoch_never_goes_back_even_when_the_state_is_lost_or_damaged() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let all = entries(&members, &[0, 1, 2]);
        let mut router = start(env, Mode::Sotw, all.clone()).await?;

        router.control_plane.kill()?;
        fs::remove_file(router.control_plane.state_file())?;
        router.control_plane.restart().await?;
        router.settle().await?;

        router.control_plane.kill()?;
        fs::write(router.control_plane.state_file(), "{\"format\":1,\"epo")?;
        router.control_plane.restart().await?;
        router
            .control_plane
            .logged(&["ERROR", "state.json"])
            .await?;
        router.settle().await?;

        // One from a backup is as good as lost: the proxies know better.
        let old = fs::read(router.control_plane.state_file())?;
        router.change(entries(&members, &[0, 1])).await?;
        router.control_plane.kill()?;
        fs::write(router.control_plane.state_file(), old)?;
        router.edit(all)?;
        router.control_plane.restart().await?;
        router.settle().await?;

        // Kept as it is, it is followed to the letter.
        let epoch = router.epoch();
        router.control_plane.restart().await?;
        router.envoy.restart().await?;
        router.reconnect().await?;
        ensure!(router.epoch() == epoch, "nothing has changed but the epoch");
        router.expect_owners(&keys(KEYS)).await
    });
}

#[test]
fn an_envoy_that_starts_before_its_control_plane_waits_for_it() {
    for mode in Mode::ALL {
        TestEnvironment::run(async |env| {
            let members = env.members(2).await?;
            let mut control_plane = env.control_plane(Settings::default()).await?;
            let roster = sharding::Roster::new(entries(&members, &[0, 1]))?;
            control_plane.members().replace(&roster)?;
            control_plane.kill()?;
            let envoy = env.envoy(&control_plane, mode).await?;
            let attempts = "cluster.yorkies_xds.upstream_cx_connect_fail";
            eventually("looking for the control plane", async || {
                let stats = envoy.admin()?.stats().await?;
                let count = stats.get(attempts).copied().unwrap_or_default();
                ensure!(count > 0, "it has not tried to connect");
                Ok(())
            })
            .await?;
            control_plane.restart().await?;
            let client = envoy.client(Protocol::H2c).await?;
            client.ask("project/document").await?;
            Ok(())
        });
    }
}

async fn start(env: &mut TestEnvironment, mode: Mode, entries: Vec<Entry>) -> Result<Router> {
    Router::start(env, Settings::default(), mode, entries).await
}

fn entries(members: &[Member], numbers: &[usize]) -> Vec<Entry> {
    let entry = |&number: &usize| members[number].entry(1);
    numbers.iter().map(entry).collect()
}

/// All members but one, another in each round.
fn rotated(members: &[Member], round: usize) -> Vec<Entry> {
    let left_out = round % members.len();
    let others = (0..members.len()).filter(|&number| number != left_out);
    entries(members, &others.collect::<Vec<_>>())
}
