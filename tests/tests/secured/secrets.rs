//! Nothing secret is in a log.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use yorkies_tests::{Cluster, Mode, Settings, TestEnvironment, equal_weights, keys};

use crate::raw::{connects, shown};
use crate::scene::Scene;

const CLUSTER_SECRET: &str = "swordfish-of-the-cluster";

#[test]
fn no_secret_is_logged_whatever_happens_and_however_much_is_logged() {
    TestEnvironment::run(async |env| {
        let scene = Scene::new(env, &["envoy-0"])?;
        let secret = env.folder().join("control-plane-0/secret");
        fs::create_dir_all(secret.parent().context("no folder")?)?;
        fs::write(&secret, CLUSTER_SECRET)?;
        let settings = Settings {
            more: "cluster_secret_file: secret\n",
            environment: vec![("YORKIES_LOG", "debug".to_owned())],
            ..scene.settings()
        };
        let members = env.members(1).await?;
        let entries = equal_weights(&members);
        let cluster = Cluster::start(env, settings, &[Mode::Delta], entries).await?;
        let control_plane = &cluster.control_plane;
        for key in keys(3) {
            cluster.clients[0].ask(&key).await?;
        }
        // Good ones, bad ones, refused ones.
        let server = scene.of("server");
        let mut secrets = vec![CLUSTER_SECRET.to_owned()];
        secrets.extend(of_key(&fs::read_to_string(server.join("key.pem"))?));
        let renewed = scene.authority.issue(&["127.0.0.1"])?;
        secrets.extend(of_key(&renewed.key));
        renewed.write(&server, &[&scene.authority])?;
        control_plane
            .logged(&["Certificates of xds.tls renewed"])
            .await?;
        let broken = yorkies_tests::Issued {
            certificate: renewed.key.clone(),
            key: renewed.key[..renewed.key.len() / 2].to_owned(),
        };
        broken.write(&server, &[&scene.authority])?;
        control_plane.logged(&["the last good ones stay"]).await?;
        let client = shown(&scene.authority, None, None)?;
        ensure!(connects(control_plane.address(), client).await.is_err());
        fs::write(&secret, "")?;
        control_plane.signal(Signal::HUP)?;
        control_plane
            .logged(&["the running one stays in force"])
            .await?;

        let log: Vec<_> = control_plane.log()?;
        ensure!(
            log.iter().any(|line| line.level() == "DEBUG"),
            "not much is logged"
        );
        let text: String = log.iter().map(yorkies_tests::LogLine::text).collect();
        let shown = secrets.iter().position(|secret| text.contains(secret));
        ensure!(
            shown.is_none(),
            "the secret no. {shown:?} of {}",
            secrets.len()
        );
        Ok(())
    });
}

/// The lines of a private key, each of which must not be seen.
fn of_key(pem: &str) -> Vec<String> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_key_has_lines_to_look_for() -> Result<()> {
    let issued = yorkies_tests::Authority::new("any")?.issue(&["a"])?;
    ensure!(of_key(&issued.key).len() > 1);
    Ok(())
}
