//! A listener of one's own, as in `envoy/own-listener.yaml`: the cluster, its
//! members and the filter come from the control plane all the same.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sharding::{Policy, Roster, SHARD_EPOCH};
use yorkies_tests::{
    Client, ControlPlane, Envoy, Member, Mode, Protocol, Request, Settings, TestEnvironment,
    assignment, equal_weights, eventually, expect_owners, keys, settled, workspace,
};

const ORIGIN: &str = "https://editor.example";

#[test]
fn a_listener_of_ones_own_routes_by_the_same_rules() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let control_plane = serving(env, &members[..3]).await?;
        let envoy = own_envoy(env, &control_plane).await?;
        let client = envoy.client(Protocol::H2c).await?;

        let epoch = settled(&[&client], 0).await?;
        let expected = assignment(Policy::default(), equal_weights(&members[..3]))?;
        expect_owners(&client, &expected, &keys(1_000)).await?;

        let four = Roster::new(equal_weights(&members))?;
        control_plane.members().replace(&four)?;
        settled(&[&client], epoch).await?;
        let expected = assignment(Policy::default(), equal_weights(&members))?;
        expect_owners(&client, &expected, &keys(1_000)).await?;

        let health = Request::new(Method::GET, "/yorkie.v1.YorkieService/health");
        client.send(&health).await?.answer()?;
        let keyless = client.send(&Request::new(Method::GET, "/document")).await?;
        ensure!(keyless.status == StatusCode::BAD_REQUEST, "{keyless:?}");
        Ok(())
    });
}

#[test]
fn an_envoy_without_ads_takes_members_and_filter_over_separate_services() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let control_plane = serving(env, &members[..3]).await?;
        let mut clients = Vec::new();
        for mode in Mode::ALL {
            let bootstrap = without_ads(control_plane.address(), mode)?;
            let envoy = env.envoy_of_bootstrap(&bootstrap.to_string()).await?;
            clients.push(envoy.client(Protocol::H2c).await?);
        }
        let mut epoch = 0;
        for members in [&members[..3], &members, &members[1..]] {
            let roster = Roster::new(equal_weights(members))?;
            control_plane.members().replace(&roster)?;
            epoch = settled(&clients.iter().collect::<Vec<_>>(), epoch).await?;
            let expected = assignment(Policy::default(), equal_weights(members))?;
            for client in &clients {
                // What comes over two streams keeps no order.
                eventually("at the owner", async || {
                    expect_owners(client, &expected, &keys(500)).await
                })
                .await?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_browser_is_answered_by_it_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let control_plane = serving(env, &members).await?;
        let envoy = own_envoy(env, &control_plane).await?;
        let client = envoy.client(Protocol::Http1).await?;
        settled(&[&client], 0).await?;
        let before = members[0].requests();

        let preflight = Request::new(Method::OPTIONS, "/yorkie.v1.YorkieService/PushPullChanges")
            .header("origin", ORIGIN)?
            .header("access-control-request-method", "POST")?
            .header("access-control-request-headers", "x-shard-key")?;
        let reply = client.send(&preflight).await?;
        ensure!(reply.status == StatusCode::OK, "{reply:?}");
        for (name, part) in [
            ("access-control-allow-origin", ORIGIN),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "x-shard-key"),
        ] {
            let value = reply.header(name)?;
            ensure!(value.contains(part), "{name}: {value}");
        }

        let refused = Request::new(Method::GET, "/document").header("origin", ORIGIN)?;
        let reply = client.send(&refused).await?;
        ensure!(reply.status == StatusCode::BAD_REQUEST, "{reply:?}");
        ensure!(reply.header("access-control-allow-origin")? == ORIGIN);
        let exposed = reply.header("access-control-expose-headers")?;
        ensure!(exposed.contains("grpc-status-details-bin"), "{exposed}");

        ensure!(members[0].requests() == before, "the member got one");
        Ok(())
    });
}

#[test]
fn without_the_filter_no_request_reaches_a_member() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let control_plane = serving(env, &members).await?;
        let mut bootstrap: Value = serde_saphyr::from_str(&bootstrap(control_plane.address())?)?;
        let filters = bootstrap
            .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0")
            .and_then(|manager| manager["typed_config"]["http_filters"].as_array_mut())
            .context("no filters")?;
        let all = filters.len();
        filters.retain(|filter| filter["name"] != "yorkies");
        ensure!(filters.len() == all - 1, "which is the filter? {filters:?}");
        // JSON is YAML.
        let envoy = env.envoy_of_bootstrap(&bootstrap.to_string()).await?;
        let client = envoy.client(Protocol::H2c).await?;
        let both = Request::of_key("project/document")?.header(SHARD_EPOCH, "1")?;
        eventually("routing at all", async || {
            client.send(&both).await?.answer()
        })
        .await?;

        // That was one who claims to be the filter; nobody else gets through.
        let before: u64 = members.iter().map(Member::requests).sum();
        for request in [
            Request::of_key("project/document")?,
            Request::new(Method::GET, "/document"),
            Request::new(Method::GET, "/yorkie.v1.YorkieService/health"),
        ] {
            let reply = client.send(&request).await?;
            ensure!(
                reply.status == StatusCode::SERVICE_UNAVAILABLE,
                "{request:?}: {reply:?}"
            );
        }
        let after: u64 = members.iter().map(Member::requests).sum();
        ensure!(after == before, "a member got such a request");
        Ok(())
    });
}

#[test]
fn it_has_the_settings_of_the_listener_that_the_control_plane_gives() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let mut seen = Vec::new();
        let own_control_plane = serving(env, &members).await?;
        let given_control_plane = env.control_plane(Settings::default()).await?;
        let roster = Roster::new(equal_weights(&members))?;
        given_control_plane.members().replace(&roster)?;
        for envoy in [
            own_envoy(env, &own_control_plane).await?,
            env.envoy(&given_control_plane, Mode::Delta).await?,
        ] {
            let client: Client = envoy.client(Protocol::H2c).await?;
            settled(&[&client], 0).await?;
            let dump = envoy.admin()?.config_dump().await?;
            let listener = found(&dump, "Listener", "filter_chains")?;
            let routes = found(&dump, "RouteConfiguration", "virtual_hosts")?;
            seen.push((listener, routes));
        }
        let [own, given] = &seen[..] else {
            anyhow::bail!("two Envoys were asked");
        };
        for (own, given) in [(&own.0, &given.0), (&own.1, &given.1)] {
            ensure!(own == given, "own: {own:#}\ngiven: {given:#}");
        }
        Ok(())
    });
}

#[test]
fn no_key_of_the_file_is_given_twice() {
    let text = fs::read_to_string(workspace().join("envoy/own-listener.yaml")).unwrap();
    // A repeated key is an error to this parser; some others take the last.
    let parsed: Value = serde_saphyr::from_str(&text).unwrap();
    assert!(parsed["static_resources"].is_object());
    let repeated = text.replace("admin:\n", "admin:\n  address: {}\n");
    assert_ne!(repeated, text);
    let error = serde_saphyr::from_str::<Value>(&repeated).unwrap_err();
    assert!(error.to_string().contains("duplicate"), "{error}");
}

/// A control plane without a listener, for these members.
async fn serving(env: &mut TestEnvironment, members: &[Member]) -> Result<ControlPlane> {
    let settings = Settings {
        listener: false,
        ..Settings::default()
    };
    let control_plane = env.control_plane(settings).await?;
    let roster = Roster::new(equal_weights(members))?;
    control_plane.members().replace(&roster)?;
    Ok(control_plane)
}

async fn own_envoy(env: &mut TestEnvironment, control_plane: &ControlPlane) -> Result<Envoy> {
    let bootstrap = bootstrap(control_plane.address())?;
    env.envoy_of_bootstrap(&bootstrap).await
}

/// The file with free ports in place of its own.
fn bootstrap(control_plane: SocketAddr) -> Result<String> {
    let mut text = fs::read_to_string(workspace().join("envoy/own-listener.yaml"))?;
    let xds_port = format!("port_value: {}", control_plane.port());
    for (from, to) in [
        (
            "address: 0.0.0.0, port_value: 8080",
            "address: 127.0.0.1, port_value: 0",
        ),
        ("port_value: 9901", "port_value: 0"),
        ("port_value: 18000", &xds_port),
    ] {
        ensure!(text.contains(from), "no {from:?} in own-listener.yaml");
        text = text.replace(from, to);
    }
    Ok(text)
}

/// The file with a cluster of its own, where everything that came over ADS comes
/// over a stream for itself.
fn without_ads(control_plane: SocketAddr, mode: Mode) -> Result<Value> {
    let source = json!({
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": match mode {
                Mode::Delta => "DELTA_GRPC",
                Mode::Sotw => "GRPC",
            },
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{ "envoy_grpc": { "cluster_name": "yorkies_xds" } }],
        },
    });
    let mut bootstrap: Value = serde_saphyr::from_str(&bootstrap(control_plane)?)?;
    bootstrap["node"]["id"] = json!(format!("without-ads-{}", mode.name()));
    let dynamic = bootstrap.as_object_mut().context("no object")?;
    dynamic.remove("dynamic_resources").context("no ADS")?;
    let resources = &mut bootstrap["static_resources"];
    let filter = resources
        .pointer_mut("/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/1")
        .context("no filter")?;
    filter["config_discovery"]["config_source"] = source.clone();
    let clusters = resources["clusters"].as_array_mut();
    let clusters = clusters.context("no clusters")?;
    let http2 = clusters[0]["typed_extension_protocol_options"].clone();
    clusters.push(json!({
        "name": "yorkie",
        "type": "EDS",
        "eds_cluster_config": { "eds_config": source },
        "lb_policy": "MAGLEV",
        "common_lb_config": { "healthy_panic_threshold": {}, "update_merge_window": "0s" },
        "typed_extension_protocol_options": http2,
    }));
    Ok(bootstrap)
}

/// The only resource of that type in a dump that has such a field, without
/// what must differ: its names, and where its routes and its filter are from.
fn found(dump: &Value, message: &str, field: &str) -> Result<Value> {
    fn search(value: &Value, message: &str, field: &str, found: &mut Vec<Value>) {
        match value {
            Value::Object(object) => {
                let of_type = object.get("@type").and_then(Value::as_str);
                let of_type = of_type.is_some_and(|name| name.ends_with(&format!(".{message}")));
                if of_type && object.contains_key(field) {
                    found.push(value.clone());
                }
                for value in object.values() {
                    search(value, message, field, found);
                }
            }
            Value::Array(array) => {
                for value in array {
                    search(value, message, field, found);
                }
            }
            _ => {}
        }
    }
    let configs = dump["configs"].as_array().context("no dump")?;
    let mut resources = Vec::new();
    for config in configs {
        let section = config["@type"].as_str().unwrap_or_default();
        if !section.ends_with("BootstrapConfigDump") {
            search(config, message, field, &mut resources);
        }
    }
    let [resource] = &mut resources[..] else {
        anyhow::bail!("expected one {message} in {resources:#?}");
    };
    let mut differing = vec![
        ("", "name"),
        ("", "validate_clusters"),
        ("/virtual_hosts/0", "name"),
    ];
    let manager = "/filter_chains/0/filters/0/typed_config";
    differing.extend([
        (manager, "stat_prefix"),
        (manager, "rds"),
        (manager, "route_config"),
    ]);
    for (path, field) in differing {
        if let Some(Value::Object(object)) = resource.pointer_mut(path) {
            object.remove(field);
        }
    }
    Ok(resource.take())
}
