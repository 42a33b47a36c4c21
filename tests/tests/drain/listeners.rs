//! Several listeners of one Envoy: their filters share the VM of a worker.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sharding::{Drain, Roster};
use yorkies_tests::{TestEnvironment, Watchers, equal_weights, filter_module, keys};

use crate::pulse::Pulse;
use crate::scene::{Scene, all_open, ended, watches, watches_of};
use crate::together::expect_together;

#[test]
fn under_a_paced_drain_streams_of_two_listeners_end_once_each_and_by_document() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let second = Roster::new(equal_weights(&members[1..]))?;
        let mut scene =
            Scene::start_with(env, &members[..1], &filter_module()?, add_listener).await?;
        let listeners = scene.envoy.admin()?.listeners().await?.into_iter();
        let listeners: BTreeSet<SocketAddr> = listeners.map(|(_, address)| address).collect();
        ensure!(listeners.len() == 2, "{listeners:?}");
        let documents: Vec<_> = keys(40).into_iter().cycle().take(80).collect();
        let all = listeners
            .iter()
            .flat_map(|listener| watches(*listener, &documents));
        let watchers = Watchers::start(all.collect()).await?;
        scene.members(&second).await?;
        scene.assign(&second, Drain::Hold).await?;
        let pulse = Pulse::start(scene.envoy.address().await?);
        let release = scene.release(&second, 1_000)?;
        ended(&watchers, release, 320).await?;
        expect_together(&watchers, release, pulse.stop().await?, 8)?;

        all_open(&watchers).await?;
        scene.expect_stat("misplaced_streams", 0).await?;
        scene.expect_stat("drained.reset", 320).await?;
        let sessions = watchers.ended_since(release);
        ensure!(watches_of(&sessions)?.len() == 320, "{sessions:#?}");
        // One VM for each worker, whatever listeners there are.
        let last = scene.last_reports();
        ensure!(last.len() == 2, "{last:#?}");
        Ok(())
    });
}

/// A second one of the other direction: its plugin, and so its root context, is
/// another than that of the first.
fn add_listener(bootstrap: &mut Value) -> Result<()> {
    let listeners = bootstrap.pointer_mut("/static_resources/listeners");
    let listeners = listeners.and_then(Value::as_array_mut);
    let listeners = listeners.context("no listeners")?;
    let mut other = listeners.first().context("no listener")?.clone();
    other["name"] = json!("others");
    other["traffic_direction"] = json!("INBOUND");
    listeners.push(other);
    Ok(())
}
