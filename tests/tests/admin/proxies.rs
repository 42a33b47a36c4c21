//! How far a proxy is with each type, and what it has: as it says itself.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use yorkies_tests::{
    ControlPlane, Envoy, Mode, Router, Settings, TestEnvironment, equal_weights, eventually,
    run_xds_server,
};

const TYPES: [&str; 5] = ["cds", "eds", "lds", "rds", "ecds"];

#[test]
fn a_proxy_is_synced_stale_while_it_does_not_answer_and_rejected_with_its_reason() {
    for mode in Mode::ALL {
        TestEnvironment::run(async |env| {
            let members = env.members(3).await?;
            let two = equal_weights(&members[..2]);
            let mut router = Router::start(env, Settings::default(), mode, two).await?;
            states(&router.control_plane, ["synced"; 5]).await?;

            router.envoy.pause().await?;
            router.edit(equal_weights(&members))?;
            let stale = ["synced", "stale", "synced", "synced", "stale"];
            states(&router.control_plane, stale).await?;
            router.envoy.resume().await?;
            states(&router.control_plane, ["synced"; 5]).await?;

            env.expect_faults();
            let missing = env.folder().join("missing.pem");
            let bad = Settings {
                tls: Some([missing.clone(), missing]),
                ..Settings::default()
            };
            router.control_plane.reconfigure(bad).await?;
            let rejected = ["synced", "synced", "rejected", "synced", "synced"];
            let types = states(&router.control_plane, rejected).await?;
            let nack = &types["lds"]["nack"];
            let reason = nack["reason"].as_str().context("no reason")?;
            ensure!(reason.contains("missing.pem"), "{nack}");
            ensure!(nack["version"] == types["lds"]["sent"], "{types}");
            ensure!(nack["mended"] == false, "{nack}");
            let config = config(&router.control_plane).await?;
            let states: Vec<_> = of_type(&config, "lds")
                .map(|of| of["state"].clone())
                .collect();
            // After a restart it is the proxy that says what it has, in the one variant by name.
            let expected: &[&str] = match mode {
                Mode::Delta => &["accepted", "rejected"],
                Mode::Sotw => &["rejected"],
            };
            ensure!(states == expected, "{config}");
            let url = router.control_plane.admin_url();
            let output = run_xds_server(env.folder(), &["status", "--admin", &url]).await?;
            let text = String::from_utf8(output.stdout)?;
            ensure!(text.contains("rejected lds"), "{text}");
            let arguments = ["status", "--proxies", "--admin", &url];
            let output = run_xds_server(env.folder(), &arguments).await?;
            let text = String::from_utf8(output.stdout)?;
            let row = text.lines().find(|line| line.trim().starts_with("envoy-0"));
            let words: Vec<_> = row.context("no row")?.split_whitespace().collect();
            ensure!(words.ends_with(&rejected), "{text}");
            ensure!(text.contains("\nenvoy-0: rejected lds"), "{text}");
            let nacks = router
                .control_plane
                .metric("yorkies_nacks_total{type=\"lds\"}");
            ensure!(nacks.await? >= 1.0);

            router
                .control_plane
                .reconfigure(Settings::default())
                .await?;
            self::states(&router.control_plane, ["synced"; 5]).await?;
            Ok(())
        });
    }
}

#[test]
fn what_a_proxy_has_is_what_it_says_that_it_has() {
    for mode in Mode::ALL {
        TestEnvironment::run(async |env| {
            let members = env.members(2).await?;
            let settings = Settings {
                more: "cluster_secret_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
                ..Settings::default()
            };
            let entries = equal_weights(&members);
            let router = Router::start(env, settings, mode, entries).await?;
            states(&router.control_plane, ["synced"; 5]).await?;
            let config = config(&router.control_plane).await?;
            let text = config.to_string();
            ensure!(
                !text.contains("9f86d081884c7d65"),
                "a hash is shown: {text}"
            );
            let shown = router
                .control_plane
                .logged(&["Configuration", "redacted"])
                .await?;
            ensure!(
                shown.text().contains("cluster_secret_sha256"),
                "{}",
                shown.text()
            );
            for line in router.control_plane.log()? {
                ensure!(!line.text().contains("9f86d081884c7d65"), "{}", line.text());
            }
            let own = own_config(&router.envoy).await?;
            for (kind, name, body) in own {
                let ours = of_type(&config, kind).find(|resource| resource["name"] == name);
                let ours = ours.with_context(|| format!("no {kind} {name} in {config}"))?;
                ensure!(ours["state"] == "accepted", "{ours}");
                let body = without_hash(&body)?;
                let same = without_hash(&ours["body"])?;
                ensure!(same == body, "{kind} {name}:\nours  {same}\nEnvoy {body}");
            }
            let endpoints = of_type(&config, "eds").next().context("no endpoints")?;
            let all = &endpoints["body"]["endpoints"][0]["lb_endpoints"];
            ensure!(all.as_array().map(Vec::len) == Some(2), "{endpoints}");
            Ok(())
        });
    }
}

/// Cluster, listener, routes and filter as Envoy shows them: type, name, body.
/// What it shows of endpoints is made from its hosts.
async fn own_config(envoy: &Envoy) -> Result<Vec<(&'static str, String, Value)>> {
    let dump = envoy.admin()?.config_dump().await?;
    let mut found = Vec::new();
    for (kind, list, within) in [
        ("cds", "dynamic_active_clusters", &["cluster"][..]),
        (
            "lds",
            "dynamic_listeners",
            &["active_state", "listener"][..],
        ),
        ("rds", "dynamic_route_configs", &["route_config"][..]),
        ("ecds", "ecds_filters", &["ecds_filter"][..]),
    ] {
        let configs = dump["configs"].as_array().context("no configs")?;
        let all = configs.iter().find_map(|config| config[list].as_array());
        for one in all.with_context(|| format!("no {list} in {dump}"))? {
            let mut body = within.iter().fold(one, |at, name| &at[*name]).clone();
            let fields = body.as_object_mut().context("no body")?;
            fields.remove("@type");
            let name = fields["name"].as_str().context("no name")?.to_owned();
            found.push((kind, name, body));
        }
    }
    ensure!(found.len() >= 4, "{found:?}");
    Ok(found)
}

/// The filter's configuration is a text, where the control plane takes hashes
/// out: the text as what it stands for, without them.
fn without_hash(body: &Value) -> Result<Value> {
    let mut body = body.clone();
    let text = body.pointer_mut("/typed_config/config/configuration/value");
    if let Some(text) = text {
        let mut config: Value = serde_json::from_str(text.as_str().context("no text")?)?;
        let fields = config.as_object_mut().context("no object")?;
        ensure!(fields.remove("cluster_secret_sha256").is_some(), "{text}");
        *text = config;
    }
    Ok(body)
}

fn of_type<'a>(config: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let resources = config["streams"][0]["resources"].as_array();
    let all = resources.into_iter().flatten();
    all.filter(move |resource| resource["kind"] == kind)
}

async fn config(control_plane: &ControlPlane) -> Result<Value> {
    control_plane.admin("/v1/proxies/envoy-0/config").await
}

/// Waits until the only proxy is that far with each type.
async fn states(control_plane: &ControlPlane, expected: [&str; 5]) -> Result<Value> {
    eventually("states of the types", async || {
        let proxies = control_plane.admin("/v1/proxies").await?;
        let types = &proxies["proxies"][0]["streams"][0]["types"];
        let are = TYPES.map(|kind| types[kind]["state"].as_str().unwrap_or("none"));
        ensure!(are == expected, "{are:?}, expected {expected:?}: {types}");
        Ok(types.clone())
    })
    .await
}
