//! Updates that an Envoy refuses: it goes on with what it has, everybody can see
//! why, and the update comes again when its turn is, not in a loop.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use yorkies_tests::{
    ControlPlane, Envoy, Mode, Protocol, Settings, TestEnvironment, equal_weights, eventually,
    expect_owners, filter_module, keys, run_xds_server, settled,
};

#[test]
fn a_filter_whose_module_comes_late_is_sent_again_until_it_works() {
    TestEnvironment::run(async |env| {
        env.expect_faults();
        let members = env.members(3).await?;
        let module = env.folder().join("late.wasm");
        let settings = Settings {
            module_on_proxy: Some(module.clone()),
            ..Settings::default()
        };
        let mut control_plane = env.control_plane(settings).await?;
        control_plane.edit(equal_weights(&members))?;
        let envoys = both(env, &control_plane).await?;
        for envoy in &envoys {
            refused(&control_plane, envoy, "ecds", "late.wasm").await?;
        }
        // Another process, which knows nothing of that, is not told that all is well.
        control_plane.restart().await?;
        let start = Instant::now();
        for envoy in &envoys {
            refused(&control_plane, envoy, "ecds", "late.wasm").await?;
        }

        fs::copy(filter_module()?, module)?;
        let expected = control_plane.expected()?;
        for envoy in &envoys {
            let client = envoy.client(Protocol::H2c).await?;
            settled(&[&client], 0).await?;
            expect_owners(&client, &expected, &keys(100)).await?;
            mended(&control_plane, envoy, "ecds").await?;
        }
        no_loop(&control_plane, "ecds", start).await
    });
}

#[test]
fn a_listener_whose_port_is_taken_is_sent_again_until_it_is_free() {
    TestEnvironment::run(async |env| {
        env.expect_faults();
        let members = env.members(2).await?;
        let taken = TcpListener::bind(("127.0.0.1", 0))?;
        let listener = format!("listener: {{ address: \"{}\" }}\n", taken.local_addr()?);
        let settings = Settings {
            listener: false,
            more: listener.leak(),
            ..Settings::default()
        };
        let mut control_plane = env.control_plane(settings).await?;
        control_plane.edit(equal_weights(&members))?;
        let start = Instant::now();
        let envoys = both(env, &control_plane).await?;
        for envoy in &envoys {
            refused(&control_plane, envoy, "lds", "in use").await?;
        }

        drop(taken);
        for envoy in &envoys {
            let client = envoy.client(Protocol::H2c).await?;
            settled(&[&client], 0).await?;
            mended(&control_plane, envoy, "lds").await?;
        }
        no_loop(&control_plane, "lds", start).await
    });
}

async fn both(env: &mut TestEnvironment, control_plane: &ControlPlane) -> Result<Vec<Envoy>> {
    let mut envoys = Vec::new();
    for mode in Mode::ALL {
        envoys.push(env.envoy(control_plane, mode).await?);
    }
    Ok(envoys)
}

/// Waits until status, metrics and the screen say that it has refused something
/// of the type, and why.
async fn refused(
    control_plane: &ControlPlane,
    envoy: &Envoy,
    kind: &str,
    reason: &str,
) -> Result<()> {
    let nack = eventually("refused", async || {
        let nack = nack_of(control_plane, envoy, kind).await?;
        ensure!(nack["mended"] == false, "{nack}");
        Ok(nack)
    })
    .await?;
    let said = nack["reason"].as_str().context("no reason")?;
    ensure!(said.contains(reason), "{said}");
    let version = nack["version"].as_str().context("no version")?;
    ensure!(!version.is_empty(), "{nack}");
    let count = control_plane.metric(&counter(kind)).await?;
    ensure!(count >= 1.0, "{count} refusals");

    let admin = control_plane.admin_url();
    let output = run_xds_server(Path::new("."), &["status", "--admin", &admin]).await?;
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rows = screen.lines();
    let row = rows.find(|row| row.contains(envoy.name()) && row.contains("rejected"));
    let row = row.with_context(|| format!("it is not shown:\n{screen}"))?;
    for part in ["rejected", kind] {
        ensure!(row.contains(part), "no {part}: {row}");
    }
    Ok(())
}

async fn mended(control_plane: &ControlPlane, envoy: &Envoy, kind: &str) -> Result<()> {
    eventually("mended", async || {
        let nack = nack_of(control_plane, envoy, kind).await?;
        ensure!(nack["mended"] == true, "{nack}");
        Ok(())
    })
    .await
}

/// What the control plane says of the last update of that type that it refused.
async fn nack_of(control_plane: &ControlPlane, envoy: &Envoy, kind: &str) -> Result<Value> {
    let status = control_plane.status().await?;
    let proxies = status["proxies"].as_array().context("no proxies")?;
    let proxy = proxies.iter().find(|proxy| proxy["node"] == envoy.name());
    let proxy = proxy.context("it is not connected")?;
    let nack = proxy["streams"][0]["types"][kind]["nack"].clone();
    ensure!(nack["kind"] == kind, "none of {kind}: {proxy}");
    Ok(nack)
}

/// Of both Envoys: a refusal at once, and then no more than one in 5 seconds.
async fn no_loop(control_plane: &ControlPlane, kind: &str, start: Instant) -> Result<()> {
    let count = control_plane.metric(&counter(kind)).await?;
    let most = 2.0 * (1.0 + start.elapsed().as_secs_f64() / 5.0);
    ensure!(
        count <= most,
        "{count} refusals of {kind} in {:?}",
        start.elapsed()
    );
    Ok(())
}

fn counter(kind: &str) -> String {
    format!("yorkies_nacks_total{{type=\"{kind}\"}}")
}
