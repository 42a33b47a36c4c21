//! Certificates are renewed while everything runs.

use anyhow::{Context, Result, ensure};
use yorkies_tests::{
    Authority, Envoy, Mode, Router, TestEnvironment, Traffic, equal_weights, eventually, keys,
};

use crate::raw::{connects, shown};
use crate::scene::{Scene, name_of};

/// From one authority to another, as it is done: first everybody trusts both,
/// then everybody gets a certificate of the new one, then the old one is
/// forgotten.
#[test]
fn authorities_are_changed_under_load_and_no_stream_is_lost() {
    TestEnvironment::run(async |env| {
        let scene = Scene::new(env, &["envoy-0"])?;
        let members = env.members(2).await?;
        let settings = scene.settings();
        let mut router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        let traffic = Traffic::start(router.h2c.clone(), keys(50));

        let (old, new) = (&scene.authority, &Authority::new("new")?);
        // With how much of it Envoy has to read: what stays the same it leaves alone.
        let steps: [(&Authority, &[&Authority], u64); 3] = [
            (old, &[old, new], 2),
            (new, &[old, new], 1),
            (new, &[new], 2),
        ];
        let mut expected = reads(&router.envoy).await?;
        for (step, (issuer, trusted, changed)) in steps.into_iter().enumerate() {
            let server = issuer.issue(&["127.0.0.1"])?;
            server.write(&scene.of("server"), trusted)?;
            let proxy = issuer.issue(&[&name_of("envoy-0")])?;
            proxy.write(&scene.of("envoy-0"), trusted)?;
            renewed(&router, step + 1).await?;
            expected += changed;
            read_again(&router.envoy, expected).await?;
        }
        let shown = shown(new, Some(&old.issue(&[&name_of("envoy-0")])?), None)?;
        let connected = connects(router.control_plane.address(), shown).await;
        ensure!(connected.is_err(), "the old authority still counts");

        let log = router.control_plane.log()?;
        let lost = log
            .iter()
            .find(|line| line.message() == "Proxy disconnected");
        ensure!(lost.is_none(), "{lost:?}");
        // Over the same stream, and reports over new connections.
        router.change(equal_weights(&members[..1])).await?;
        router.control_plane.restart().await?;
        router.change(equal_weights(&members)).await?;
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");
        Ok(())
    });
}

async fn renewed(router: &Router, times: usize) -> Result<()> {
    eventually("renewed by the control plane", async || {
        let metric = "yorkies_xds_tls_reloads_total{outcome=\"done\"}";
        let found = router.control_plane.metric(metric).await?;
        #[allow(clippy::cast_precision_loss)]
        let expected = times as f64;
        ensure!(found >= expected, "{found} times");
        Ok(())
    })
    .await
}

/// How often Envoy has read a certificate, or the authorities that it trusts.
async fn reads(envoy: &Envoy) -> Result<u64> {
    let name = "cluster.yorkies_xds.client_ssl_socket_factory.ssl_context_update_by_sds";
    let stats = envoy.admin()?.stats().await?;
    stats
        .get(name)
        .copied()
        .with_context(|| format!("no {name}"))
}

async fn read_again(envoy: &Envoy, reads_then: u64) -> Result<()> {
    eventually("read again by Envoy", async || {
        let found = reads(envoy).await?;
        ensure!(found >= reads_then, "{found} of {reads_then} times");
        Ok(())
    })
    .await
}
