//! VMs of an older module.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use sharding::{Drain, Report, Roster, SHARD_KEY};
use yorkies_tests::{
    Request, STAY_OPEN, TestEnvironment, equal_weights, eventually, filter_module, keys,
};

use crate::scene::{AT_ONCE, LOOK, Scene, WATCH, all_open, ended, moved, other_module, watches_of};

#[test]
fn streams_of_an_older_module_are_drained_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let two = Roster::new(equal_weights(&members[..2]))?;
        let three = Roster::new(equal_weights(&members))?;
        let mut scene = Scene::start(env, &members[..2]).await?;
        let watchers = scene.watch(&keys(90)).await?;
        let moved = moved(&watchers, &two, &three);
        scene.expect_stat("open_streams", 180).await?;

        scene.files.use_module(&other_module(env)?);
        scene.members(&three).await?;
        scene.assign(&three, Drain::Hold).await?;
        let held = Instant::now();
        tokio::time::sleep(LOOK * 2).await;
        ensure!(watchers.ended_since(held).is_empty());
        scene
            .expect_stat("misplaced_streams", moved.len() as u64)
            .await?;
        let release = scene.release(&three, 0)?;
        let took = ended(&watchers, release, moved.len()).await?;
        println!(
            "{} streams of the older module ended within {took:?}",
            moved.len()
        );
        tokio::time::sleep(LOOK).await;
        ensure!(watches_of(&watchers.ended_since(release))? == moved);
        scene.expect_stat("misplaced_streams", 0).await?;
        scene.expect_stat("open_streams", 180).await?;
        drop(watchers);
        scene.expect_stat("open_streams", 0).await
    });
}

#[test]
fn the_root_that_ticks_outlives_its_configuration_and_goes_with_its_vm() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let rosters = [&members[..1], &members[1..]].map(|one| Roster::new(equal_weights(one)));
        let [first, second] = rosters;
        let rosters = [first?, second?];
        let mut scene = Scene::start(env, &members[..1]).await?;
        let watchers = scene.watch(&keys(30)).await?;
        let vms = scene.vms().await?;
        // Each time all streams leave the configurations before, which then end.
        for turn in 0..4 {
            let roster = &rosters[(turn + 1) % 2];
            scene.members(roster).await?;
            let start = Instant::now();
            scene.assign(roster, AT_ONCE).await?;
            ended(&watchers, start, 60).await?;
            all_open(&watchers).await?;
            expect_reports(&scene, 60, |_| true).await?;
        }
        let before = ids(&scene.last_reports());
        ensure!(before.len() == 2, "one VM for each worker: {before:?}");

        scene.files.use_module(&other_module(env)?);
        scene.members(&rosters[1]).await?;
        let start = Instant::now();
        scene.assign(&rosters[1], AT_ONCE).await?;
        ended(&watchers, start, 60).await?;
        all_open(&watchers).await?;
        expect_reports(&scene, 60, |report| !before.contains(&report.vm)).await?;
        scene.expect_stat("open_streams", 60).await?;
        eventually("without the VMs of the older module", async || {
            let left = scene.vms().await?;
            ensure!(left == vms, "{left} VMs, {vms} at first");
            Ok(())
        })
        .await?;
        drop(watchers);
        scene.expect_stat("open_streams", 0).await
    });
}

#[test]
fn a_vm_that_is_left_with_requests_to_another_cluster_follows_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let other = env.member("other").await?.entry(1).address;
        let both = Roster::new(equal_weights(&members))?;
        let add = |bootstrap: &mut Value| add_cluster(bootstrap, other.port());
        let mut scene = Scene::start_with(env, &members[..1], &filter_module()?, add).await?;
        // A stream by its path: where it is, is asked as soon as it is answered.
        let request = Request::new(Method::POST, WATCH).header(OTHER, "yes")?;
        let request = request.header(SHARD_KEY, "project/document")?;
        let request = request.header(STAY_OPEN, "yes")?;
        let elsewhere = scene.clients[0].open(&request).await?;
        ensure!(elsewhere.headers()["x-answered-by"] == "other");
        expect_reports(&scene, 0, |_| true).await?;
        let before = ids(&scene.last_reports());

        scene.files.use_module(&other_module(env)?);
        scene.members(&both).await?;
        for drain in [Drain::Hold, AT_ONCE] {
            scene.assign(&both, drain).await?;
            // That stream keeps one of them.
            expect_reports(&scene, 0, |report| before.contains(&report.vm)).await?;
        }
        scene.expect_stat("open_streams", 0).await?;
        drop(elsewhere);
        Ok(())
    });
}

fn ids(reports: &[Report]) -> BTreeSet<u64> {
    reports.iter().map(|report| report.vm).collect()
}

/// Waits until those VMs of which `is_it` is true, or some of them, tell of the
/// present epoch and of that many streams, none of them misplaced.
async fn expect_reports(scene: &Scene, open: u64, is_it: impl Fn(&Report) -> bool) -> Result<()> {
    eventually("told", async || {
        let last = scene.last_reports().into_iter();
        let last = last.filter(|report| report.epoch == scene.epoch && is_it(report));
        let last: Vec<_> = last.collect();
        ensure!(!last.is_empty(), "no report of epoch {}", scene.epoch);
        let told: u64 = last.iter().map(|report| report.open).sum();
        ensure!(
            told == open,
            "{told} streams are open, not {open}: {last:#?}"
        );
        ensure!(last.iter().all(|report| report.misplaced == 0), "{last:#?}");
        Ok(())
    })
    .await
}

/// Requests with this header go to the other cluster.
const OTHER: &str = "x-other";

/// Adds a cluster of one server, and a route to it.
fn add_cluster(bootstrap: &mut Value, port: u16) -> Result<()> {
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let cluster = json!({
        "name": "other",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "other",
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    });
    let route = json!({
        "match": { "prefix": "/", "headers": [{ "name": OTHER, "present_match": true }] },
        "route": { "cluster": "other", "timeout": "0s" },
    });
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let routes = format!("{manager}/route_config/virtual_hosts/0/routes");
    for (path, added) in [("/static_resources/clusters", cluster), (&routes, route)] {
        let array = bootstrap.pointer_mut(path).and_then(Value::as_array_mut);
        array
            .with_context(|| format!("no {path}"))?
            .insert(0, added);
    }
    Ok(())
}
