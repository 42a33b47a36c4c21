//! Every setting on which the prediction and long streams rest, as a running
//! Envoy has it, and what it is there for.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use sharding::SHARD_KEY;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use yorkies_tests::{
    Answer, Mode, Request, Router, STAY_OPEN, Settings, TestEnvironment, equal_weights, eventually,
    keys,
};

/// More than Envoy's own limits on a cluster and on an HTTP/2 connection, which are 1024.
const STREAMS: usize = 1_100;

/// As a certificate calls the listener.
const SERVER_NAME: &str = "localhost";

const CLUSTER: &str = "/dynamic_active_clusters/0/cluster";
const UPSTREAM_HTTP: &str = "/dynamic_active_clusters/0/cluster/typed_extension_protocol_options\
    /envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const LISTENER: &str = "/dynamic_listeners/0/active_state/listener";
const MANAGER: &str =
    "/dynamic_listeners/0/active_state/listener/filter_chains/0/filters/0/typed_config";
const VIRTUAL_HOST: &str = "/dynamic_route_configs/0/route_config/virtual_hosts/0";
const FILTER: &str = "/ecds_filters/0/ecds_filter/typed_config/config";
const ENDPOINTS: &str = "/dynamic_endpoint_configs/0/endpoint_config/endpoints";

#[test]
fn envoy_has_every_setting_that_prediction_and_long_streams_rest_on() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let settings = Settings::default();
        let router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        let dump = router.envoy.admin()?.config_dump().await?;
        let section = |name: &str| {
            let configs = dump["configs"].as_array().into_iter().flatten();
            let mut named = configs.filter(|config| {
                let of_type = config["@type"].as_str().unwrap_or_default();
                of_type.ends_with(&format!(".{name}ConfigDump"))
            });
            named.next().with_context(|| format!("no {name}"))
        };
        let mut wrong = Vec::new();
        for (name, prefix, settings) in demanded() {
            for (path, expected) in settings {
                let resource = section(name)?.pointer(prefix).context(prefix)?;
                let found = resource.pointer(path);
                let found = found.unwrap_or(&Value::Null);
                if *found != expected {
                    wrong.push(format!("{prefix}{path}: {found}, not {expected}"));
                }
            }
        }
        ensure!(wrong.is_empty(), "{wrong:#?}");

        let endpoints = section("Endpoints")?.pointer(ENDPOINTS);
        let endpoints = endpoints
            .and_then(Value::as_array)
            .context("no endpoints")?;
        let [only] = &endpoints[..] else {
            anyhow::bail!("expected one locality of one priority: {endpoints:#?}");
        };
        let expected: Vec<_> = equal_weights(&members)
            .into_iter()
            .map(|entry| (json!(entry.id), json!(entry.address.port())))
            .collect();
        let found = only["lb_endpoints"].as_array().context("no endpoints")?;
        let found: Vec<_> = found
            .iter()
            .map(|endpoint| {
                let hash_key = &endpoint["metadata"]["filter_metadata"]["envoy.lb"]["hash_key"];
                let address = &endpoint["endpoint"]["address"]["socket_address"];
                (hash_key.clone(), address["port_value"].clone())
            })
            .collect();
        ensure!(found == expected, "{found:?}, not {expected:?}");

        // Where nothing may go, there must be nothing.
        let sink = section("Routes")?.pointer(&format!("{VIRTUAL_HOST}/routes/2/route/cluster"));
        let sink = sink
            .and_then(Value::as_str)
            .context("no cluster of the last route")?;
        let clusters = router.envoy.admin()?.clusters().await?;
        ensure!(!clusters.to_string().contains(sink), "{sink} exists");
        Ok(())
    });
}

#[test]
fn a_thousand_open_watches_leave_room_for_the_next_request() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let settings = Settings::default();
        let router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        let admin = router.envoy.admin()?;
        let connections = "http.yorkies.downstream_cx_http2_total";
        let before = admin.stats().await?.get(connections).copied();
        ensure!(before > Some(0), "no {connections}");

        let mut watches = Vec::new();
        for key in keys(STREAMS) {
            let request = Request::new(Method::GET, "/stream")
                .header(SHARD_KEY, key)?
                .header(STAY_OPEN, "yes")?;
            let watch = router.h2c.open(&request).await?;
            ensure!(
                watch.status() == StatusCode::OK,
                "{}: {watch:?}",
                watches.len()
            );
            watches.push(watch);
        }
        router.h2c.ask("project/document").await?;
        let stats = admin.stats().await?;
        let stat = |name: &str| {
            stats
                .get(name)
                .copied()
                .with_context(|| format!("no {name}"))
        };
        ensure!(stat("http.yorkies.downstream_rq_active")? >= STREAMS as u64);
        ensure!(stat("cluster.yorkie.upstream_rq_active")? >= STREAMS as u64);
        ensure!(
            Some(stat(connections)?) == before,
            "more than one connection"
        );
        for watch in &mut watches {
            let first = watch.frame().await.context("the watch has ended")??;
            let first = first.into_data().ok().context("no data")?;
            serde_json::from_slice::<Answer>(&first)?;
        }
        Ok(())
    });
}

#[test]
fn a_listener_with_a_certificate_speaks_both_versions_of_http() {
    TestEnvironment::run(async |env| {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        let [chain, key] = ["certificate.pem", "key.pem"].map(|name| env.folder().join(name));
        fs::write(&chain, cert.pem())?;
        fs::write(&key, signing_key.serialize_pem())?;
        let settings = Settings {
            tls: Some([chain, key]),
            ..Settings::default()
        };
        let members = env.members(1).await?;
        let control_plane = env.control_plane(settings).await?;
        let roster = sharding::Roster::new(equal_weights(&members))?;
        control_plane.members().replace(&roster)?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let address = envoy.address().await?;

        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let offers = |protocol: &str| {
            let mut config = ClientConfig::builder()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        for (protocol, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
            let connector = offers(protocol);
            let (head, answer) = eventually("answered", async || {
                ask_over_tls(address, &connector, version).await
            })
            .await
            .context(protocol)?;
            ensure!(head.version == version, "{head:?}");
            ensure!(answer.key()? == "project/document" && answer.owner()? == "yorkie-0");
        }
        Ok(())
    });
}

#[test]
fn a_line_of_the_access_log_tells_key_owner_and_epoch() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let settings = Settings::default();
        let router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        let answer = router.h2c.ask("project/a document").await?;
        let keyless = Request::new(Method::GET, "/without-key");
        router.http1.send(&keyless).await?;
        let keyed = format!(
            " method=GET path=/document protocol=HTTP/2 status=200 flags=- details=via_upstream \
             key=project/a%20document note=source:header,mended:spelling owner={} epoch={} upstream={} ",
            answer.owner()?,
            answer.epoch()?,
            answer.address
        );
        let refused = " path=/without-key protocol=HTTP/1.1 status=400 ";
        let plain = Request::of_key("project/plain")?;
        router.http1.send(&plain).await?.answer()?;
        let mut message = Request::new(Method::POST, "/yorkie.v1.YorkieService/AttachDocument");
        message = message.header("content-type", "application/json")?;
        let message = message.body(r#"{"changePack":{"documentKey":"note"}}"#);
        router.http1.send(&message).await?.answer()?;
        eventually("in the access log", async || {
            let log = router.envoy.log().await?;
            for part in [
                &keyed,
                refused,
                " key=project/plain note=- ",
                " key=/note note=source:body,inspected:37 ",
            ] {
                let lines = log.lines().filter(|line| line.contains(part)).count();
                ensure!(lines == 1, "{lines} lines have {part:?}: {log}");
            }
            Ok(())
        })
        .await
    });
}

#[test]
fn requests_are_counted_by_what_became_of_them() {
    const KEYED: u64 = 70;
    const KEYLESS: u64 = 5;
    const MALFORMED: u64 = 3;
    const ANY: u64 = 2;
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let settings = Settings::default();
        let router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        // Requests that reached a member had a key, whoever sent them.
        let had_key: u64 = members.iter().map(yorkies_tests::Member::requests).sum();
        for (request, count) in [
            (Request::of_key("project/document")?, KEYED),
            (Request::new(Method::GET, "/document"), KEYLESS),
            (Request::of_key("no-separator")?, MALFORMED),
            (
                Request::new(Method::GET, "/yorkie.v1.YorkieService/health"),
                ANY,
            ),
        ] {
            for number in 0..count {
                let client = if number % 2 == 0 {
                    &router.h2c
                } else {
                    &router.http1
                };
                client.send(&request).await?;
            }
        }
        let expected = [
            ("source.header", had_key + KEYED),
            ("source.none", ANY),
            ("source.body", 0),
            ("refused.no_key", KEYLESS),
            ("refused.malformed", MALFORMED),
            ("refused.conflicting", 0),
        ];
        eventually("counted", async || {
            let stats = router.envoy.admin()?.stats().await?;
            for (name, expected) in expected {
                let name = format!("wasmcustom.yorkies.requests.{name}");
                let counted = stats.get(&name).copied();
                ensure!(
                    counted == Some(expected),
                    "{name}: {counted:?}, not {expected}"
                );
            }
            Ok(())
        })
        .await
    });
}

/// A path below a resource and what must be there; null: nothing.
type Demands = Vec<(&'static str, Value)>;

/// Section of the dump, resource in it, and what must be there.
fn demanded() -> Vec<(&'static str, &'static str, Demands)> {
    vec![
        ("Clusters", CLUSTER, of_the_cluster()),
        ("Clusters", UPSTREAM_HTTP, of_connections_to_members()),
        ("Listeners", LISTENER, of_the_listener()),
        ("Listeners", MANAGER, of_the_connection_manager()),
        ("Routes", VIRTUAL_HOST, of_the_routes()),
        ("Ecds", FILTER, of_the_filter()),
    ]
}

/// The table is a function of the endpoints alone, and thousands of streams
/// are no reason for a 503.
fn of_the_cluster() -> Demands {
    let breakers = json!({
        "max_connections": 100_000,
        "max_pending_requests": 1_000_000,
        "max_requests": 1_000_000,
        "max_retries": 1_000_000,
    });
    let mut breakers_high = breakers.clone();
    breakers_high["priority"] = json!("HIGH");
    vec![
        // A percentage of 0, which the dump leaves out; absent, it would be 50.
        ("/common_lb_config/healthy_panic_threshold", json!({})),
        ("/common_lb_config/update_merge_window", json!("0s")),
        ("/common_lb_config/locality_weighted_lb_config", Value::Null),
        (
            "/common_lb_config/consistent_hashing_lb_config",
            Value::Null,
        ),
        ("/lb_policy", json!("MAGLEV")),
        ("/maglev_lb_config/table_size", json!("65537")),
        ("/health_checks", Value::Null),
        ("/outlier_detection", Value::Null),
        ("/lb_subset_config", Value::Null),
        (
            "/circuit_breakers/thresholds",
            json!([breakers, breakers_high]),
        ),
        ("/circuit_breakers/per_host_thresholds", Value::Null),
    ]
}

/// Envoy closes an idle connection before the member does (Yorkie: 120 s).
fn of_connections_to_members() -> Demands {
    vec![
        ("/common_http_protocol_options/idle_timeout", json!("60s")),
        (
            "/explicit_http_config/http2_protocol_options",
            json!({
                "allow_connect": true,
                "connection_keepalive": { "interval": "30s", "timeout": "10s" },
            }),
        ),
    ]
}

fn of_the_listener() -> Demands {
    vec![
        ("/per_connection_buffer_limit_bytes", json!(1024 * 1024)),
        ("/socket_options/0/name", json!("9")),
        ("/socket_options/3/name", json!("6")),
    ]
}

fn of_the_connection_manager() -> Demands {
    vec![
        ("/stream_idle_timeout", json!("0s")),
        ("/request_timeout", Value::Null),
        ("/common_http_protocol_options", Value::Null),
        ("/delayed_close_timeout", json!("0.050s")),
        (
            "/http2_protocol_options",
            json!({
                "allow_connect": true,
                "max_concurrent_streams": (1_u32 << 31) - 1,
                "connection_keepalive": { "interval": "30s", "timeout": "10s" },
            }),
        ),
        ("/upgrade_configs", json!([{ "upgrade_type": "websocket" }])),
        ("/normalize_path", json!(true)),
        ("/merge_slashes", json!(true)),
        ("/path_with_escaped_slashes_action", json!("KEEP_UNCHANGED")),
        ("/request_headers_timeout", json!("10s")),
        ("/http_filters/0/name", json!("envoy.filters.http.cors")),
        ("/http_filters/1/name", json!("yorkies")),
        (
            "/http_filters/1/config_discovery/config_source",
            json!({ "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3" }),
        ),
        // A default would let requests pass without the filter until it is there.
        (
            "/http_filters/1/config_discovery/default_config",
            Value::Null,
        ),
        ("/http_filters/2/name", json!("envoy.filters.http.router")),
        ("/http_filters/3", Value::Null),
    ]
}

/// With the key that the filter has written to its owner, left without a key
/// by the filter to anyone, all else to nowhere.
fn of_the_routes() -> Demands {
    let matching = |names: &[&str]| {
        let headers: Vec<_> = names
            .iter()
            .map(|name| json!({ "name": name, "present_match": true }))
            .collect();
        json!({ "prefix": "/", "headers": headers })
    };
    let to_members = json!({
        "cluster": "yorkie",
        "timeout": "0s",
        "idle_timeout": "0s",
        // To the same member: no `previous_hosts`.
        "retry_policy": { "num_retries": 1, "retry_on": "connect-failure,refused-stream" },
    });
    let mut to_owner = to_members.clone();
    to_owner["hash_policy"] = json!([
        { "header": { "header_name": "x-shard-key" }, "terminal": true }
    ]);
    vec![
        (
            "/request_body_buffer_limit",
            json!((2 * 1024 * 1024).to_string()),
        ),
        ("/domains", json!(["*"])),
        (
            "/routes/0/match",
            matching(&["x-shard-key", "x-shard-epoch"]),
        ),
        ("/routes/0/route", to_owner),
        ("/routes/1/match", matching(&["x-shard-epoch"])),
        ("/routes/1/route", to_members),
        ("/routes/2/match", json!({ "prefix": "/" })),
        ("/routes/2/direct_response", Value::Null),
        ("/routes/3", Value::Null),
        ("/retry_policy", Value::Null),
    ]
}

fn of_the_filter() -> Demands {
    vec![
        ("/failure_policy", json!("FAIL_RELOAD")),
        ("/fail_open", Value::Null),
        ("/allow_on_headers_stop_iteration", json!(true)),
        ("/vm_config/vm_id", json!("yorkies")),
        ("/vm_config/runtime", json!("envoy.wasm.runtime.v8")),
    ]
}

/// Sends a request over a new connection.
async fn ask_over_tls(
    address: SocketAddr,
    connector: &TlsConnector,
    version: Version,
) -> Result<(http::response::Parts, Answer)> {
    let stream = TcpStream::connect(address).await?;
    let stream: TlsStream<_> = connector.connect(SERVER_NAME.try_into()?, stream).await?;
    let stream = TokioIo::new(stream);
    let request = http::Request::builder()
        .uri(format!("https://{SERVER_NAME}/document"))
        .header("host", SERVER_NAME)
        .header(SHARD_KEY, "project/document");
    let request = request.body(Empty::<Bytes>::new())?;
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    ensure!(head.status == StatusCode::OK, "{head:?}: {text}");
    let answer = serde_json::from_slice(&body).with_context(|| text.into_owned())?;
    Ok((head, answer))
}
