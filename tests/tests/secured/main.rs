//! Mutual TLS between proxies and the control plane, who is refused, and how the
//! control plane is configured anew and ends.

mod ending;
mod raw;
mod reload;
mod renewal;
mod scene;
mod secrets;

use anyhow::{Result, ensure};
use tokio_rustls::rustls::ProtocolVersion;
use yorkies_tests::{
    Authority, Cluster, Mode, Settings, TestEnvironment, Watchers, equal_weights, eventually, keys,
};

use raw::{connects, shown};
use scene::{Scene, name_of};

#[test]
fn documents_are_routed_and_streams_drained_over_mutual_tls() {
    TestEnvironment::run(async |env| {
        let scene = Scene::new(env, &["envoy-0", "envoy-1"])?;
        let members = env.members(3).await?;
        let two = equal_weights(&members[..2]);
        let modes = [Mode::Delta, Mode::Sotw];
        let mut cluster = Cluster::start(env, scene.settings(), &modes, two).await?;
        let watchers = Watchers::start(cluster.watches(&keys(20), 40).await?).await?;
        cluster.edit(equal_weights(&members))?;
        // Needs reports of both proxies.
        cluster.rebalanced().await?;
        cluster.expect_placed(&watchers).await?;
        cluster.expect_members_agree(&members, 40)?;
        let refused = "yorkies_xds_refused_total{reason=\"identity\"}";
        ensure!(cluster.control_plane.metric(refused).await? < 1.0);
        Ok(())
    });
}

#[test]
fn who_has_no_certificate_of_the_authority_is_refused() {
    TestEnvironment::run(async |env| {
        let scene = Scene::new(env, &[])?;
        let members = env.members(1).await?;
        let mut control_plane = env.control_plane(scene.settings()).await?;
        // Without a roster nobody is served.
        control_plane.edit(equal_weights(&members))?;
        let address = control_plane.address();
        let right = scene.authority.issue(&["anything"])?;
        let wrong = Authority::new("of nobody")?.issue(&[&name_of("envoy-0")])?;
        let cases = [(None, false), (Some(&wrong), false), (Some(&right), true)];
        for (certificate, is_right) in cases {
            let client = shown(&scene.authority, certificate, None)?;
            let connected = connects(address, client).await;
            ensure!(
                connected.is_ok() == is_right,
                "{certificate:?}: {connected:?}"
            );
        }
        let old = [&tokio_rustls::rustls::version::TLS12];
        let client = shown(&scene.authority, Some(&right), Some(&old))?;
        let version = connects(address, client).await?;
        ensure!(version == Some(ProtocolVersion::TLSv1_2), "{version:?}");
        let refused = "yorkies_xds_refused_total{reason=\"tls\"}";
        let count = control_plane.metric(refused).await? as u64;
        ensure!(count == 2, "{count} are counted");
        Ok(())
    });
}

#[test]
fn a_proxy_with_the_certificate_of_another_node_is_refused() {
    TestEnvironment::run(async |env| {
        let scene = Scene::new(env, &["envoy-0"])?;
        let stolen = scene.authority.issue(&[&name_of("envoy-0")])?;
        stolen.write(&scene.of("envoy-1"), &[&scene.authority])?;
        let members = env.members(1).await?;
        let settings = scene.settings();
        let cluster = Cluster::start(env, settings, &[Mode::Sotw], equal_weights(&members)).await?;
        let control_plane = &cluster.control_plane;
        env.envoy(control_plane, Mode::Delta).await?;
        let names = [
            "WARN",
            "node=envoy-1",
            "certificate=spiffe://yorkies/envoy-0",
        ];
        eventually("both names in the log", async || {
            let log = control_plane.log()?;
            let is_it = |line: &yorkies_tests::LogLine| {
                let text = format!("{} {}", line.level(), line.text());
                names.iter().all(|name| text.contains(name))
            };
            ensure!(log.iter().any(is_it), "no event has {names:?}");
            Ok(())
        })
        .await?;
        let refused = "yorkies_xds_refused_total{reason=\"identity\"}";
        ensure!(control_plane.metric(refused).await? > 0.0);
        let status = control_plane.status().await?.to_string();
        ensure!(!status.contains("envoy-1"), "it is known: {status}");
        Ok(())
    });
}

/// It hangs without a word; nothing but the pings can tell.
#[test]
fn a_dead_proxy_is_found_and_a_proxy_that_lives_again_comes_back() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let settings = Settings {
            xds: "limits: { keepalive_interval: 200ms, keepalive_timeout: 2s }".to_owned(),
            ..Settings::default()
        };
        let cluster =
            Cluster::start(env, settings, &[Mode::Delta], equal_weights(&members)).await?;
        let connected = async |expected: u64| {
            eventually("that many proxies", async || {
                let metric = "yorkies_proxies_connected{mode=\"delta\"}";
                let found = cluster.control_plane.metric(metric).await? as u64;
                ensure!(found == expected, "{found}");
                Ok(())
            })
            .await
        };
        cluster.envoys[0].pause().await?;
        let found: Result<()> = connected(0).await;
        cluster.envoys[0].resume().await?;
        found?;
        connected(1).await
    });
}
