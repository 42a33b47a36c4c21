//! What a running control plane tells of itself: to probes, to Prometheus, and
//! to the commands that ask it.

mod proxies;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sharding::{MemberStreams, Phase, REPORTS_SERVICE, Receipt, Report, SEND_METHOD};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use yorkies_tests::{
    Client, ControlPlane, Mode, Protocol, Request, Router, Settings, TestEnvironment,
    equal_weights, eventually, run_xds_server,
};

#[test]
fn a_running_control_plane_tells_its_members_proxies_and_rebalances() {
    for mode in Mode::ALL {
        TestEnvironment::run(async |env| {
            let members = env.members(3).await?;
            let two = equal_weights(&members[..2]);
            let mut router = Router::start(env, Settings::default(), mode, two).await?;
            ensure!(get(&router.control_plane, "/healthz").await?.0 == 200);
            ensure!(get(&router.control_plane, "/readyz").await?.0 == 200);
            router.change(equal_weights(&members)).await?;
            let epoch = router.epoch();
            let status = status(&router.control_plane, "over and planned", |status| {
                let newest = &status["last"][0];
                newest["epoch"] == epoch && !newest["plan"].is_null()
            })
            .await?;
            let record = &status["last"][0];
            ensure!(record["outcome"] == "done", "{record}");
            ensure!(record["changes"][0]["cause"] == "added", "{record}");
            ensure!(record["changes"][0]["member"] == "yorkie-2", "{record}");
            let hold = record["hold_ms"].as_u64().context("no time")?;
            ensure!(hold < 1000, "it has waited for somebody: {record}");
            let moved = record["plan"]["moved"].as_f64().context("no plan")?;
            ensure!((0.32..0.36).contains(&moved), "{record}");
            // No stream is open: nothing but the hold keeps a document apart.
            ensure!(record["split_ms"] == hold, "{record}");
            let proxies = status["proxies"].as_array().context("no proxies")?;
            ensure!(proxies.len() == 1, "whose are these: {status}");
            let vms = proxies[0]["vms"].as_array().context("no VMs")?;
            let is_there = |vm: &Value| vm["epoch"] == epoch && vm["phase"] == "released";
            ensure!(!vms.is_empty() && vms.iter().all(is_there), "{status}");
            let stream = &status["proxies"][0]["streams"][0];
            ensure!(stream["mode"] == mode.name(), "{stream}");
            ensure!(stream["current"] == true, "{stream}");
            let metrics = get(&router.control_plane, "/metrics").await?.1;
            let line = format!("yorkies_proxies_connected{{mode=\"{}\"}} 1", mode.name());
            for line in [&line, "yorkies_members 3", "yorkies_proxies_behind 0"] {
                ensure!(metrics.contains(line), "no {line:?} in {metrics}");
            }
            let folder = env.folder();
            let url = router.control_plane.admin_url();
            let output = run_xds_server(folder, &["status", "--admin", &url]).await?;
            let text = String::from_utf8(output.stdout)?;
            for part in ["yorkie-2", "envoy-0", "accepted", "added yorkie-2"] {
                ensure!(text.contains(part), "no {part:?} in {text}");
            }
            println!("{text}");
            Ok(())
        });
    }
}

/// A page in a browser can have its own name stand for a loopback address.
#[test]
fn on_loopback_only_names_of_this_machine_are_answered() {
    TestEnvironment::run(async |env| {
        let control_plane = env.control_plane(Settings::default()).await?;
        let address = control_plane.admin_url();
        let address: SocketAddr = address.strip_prefix("http://").context("no URL")?.parse()?;
        let client = Client::new(address, Protocol::Http1);
        let port = address.port();
        for (host, expected) in [
            (format!("127.0.0.1:{port}"), 200),
            (format!("localhost:{port}"), 200),
            (format!("rebound.example:{port}"), 403),
        ] {
            let request = Request::new(Method::GET, "/healthz").header("host", &host)?;
            let reply = client.send(&request).await?;
            ensure!(reply.status == expected, "{host}: {reply:?}");
        }
        Ok(())
    });
}

#[test]
fn a_plan_for_a_running_control_plane_knows_its_streams_and_its_history() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let settings = Settings::default();
        let all = equal_weights(&members);
        let mut router = Router::start(env, settings, Mode::Delta, all).await?;
        let epoch = router.epoch();
        send(&router.control_plane, report(epoch, 500)).await?;
        router.change(equal_weights(&members[..2])).await?;
        send(&router.control_plane, report(router.epoch(), 700)).await?;

        let url = router.control_plane.admin_url();
        let back = format!("yorkie-2={}", members[2].entry(1).address);
        let arguments = ["plan", "--admin", &url, "--add", &back];
        let json = run_xds_server(env.folder(), &[&arguments[..], &["--json"]].concat()).await?;
        ensure!(json.status.success(), "{json:?}");
        let plan: Value = serde_json::from_slice(&json.stdout)?;
        ensure!(plan["returning"][0]["member"] == "yorkie-2", "{plan}");
        ensure!(plan["streams"]["open"] == 700, "{plan}");
        let ending = plan["streams"]["ending"].as_u64().context("no number")?;
        ensure!((200..270).contains(&ending), "{plan}");
        ensure!(plan["streams"]["window_ms"] == ending / 2, "{plan}");
        let output = run_xds_server(env.folder(), &arguments).await?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(text.contains("of 700 open streams end"), "{text}");
        println!("{text}");
        Ok(())
    });
}

#[test]
fn a_proxy_that_hangs_is_named_and_left_behind_and_has_caught_up_later() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let two = equal_weights(&members[..2]);
        let mut router = Router::start(env, Settings::default(), Mode::Delta, two).await?;
        let other = env.envoy(&router.control_plane, Mode::Sotw).await?;
        status(&router.control_plane, "connected twice", |status| {
            let proxies = status["proxies"].as_array();
            let current = |proxy: &Value| proxy["streams"][0]["current"] == true;
            proxies.is_some_and(|proxies| proxies.len() == 2 && proxies.iter().all(current))
        })
        .await?;
        other.pause().await?;
        router.change(equal_weights(&members)).await?;
        let epoch = router.epoch();
        let over = status(&router.control_plane, "over", |status| {
            status["stage"] == "stable" && status["last"][0]["epoch"] == epoch
        });
        let record = over.await?["last"][0].clone();
        other.resume().await?;
        let hold = record["hold_ms"].as_u64().context("no time")?;
        ensure!((2000..4000).contains(&hold), "{record}");
        for list in ["left_behind", "missing"] {
            ensure!(record[list][0]["node"] == "envoy-1", "{record}");
            ensure!(record[list][0]["reason"] == "not_accepted", "{record}");
            ensure!(record[list][1].is_null(), "{record}");
        }
        ensure!(record["outcome"] == "incomplete", "{record}");
        status(&router.control_plane, "caught up", |status| {
            status["proxies"][1]["streams"][0]["current"] == true
        })
        .await?;
        Ok(())
    });
}

fn report(epoch: u64, open: u64) -> Report {
    Report {
        node: "envoy-0".to_owned(),
        vm: 1,
        epoch,
        phase: Phase::Released.into(),
        open,
        members: vec![MemberStreams {
            id: "yorkie-0".to_owned(),
            open,
            ..MemberStreams::default()
        }],
        ..Report::default()
    }
}

/// Sends a report as a filter would.
async fn send(control_plane: &ControlPlane, report: Report) -> Result<()> {
    let uri = format!("http://{}", control_plane.address());
    let mut client = Grpc::new(Channel::from_shared(uri)?.connect().await?);
    client.ready().await?;
    let path = format!("/{REPORTS_SERVICE}/{SEND_METHOD}").parse()?;
    let codec = ProstCodec::<Report, Receipt>::default();
    client
        .unary(tonic::Request::new(report), path, codec)
        .await?;
    Ok(())
}

/// Waits for a status that is as it should be.
async fn status(
    control_plane: &ControlPlane,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> Result<Value> {
    eventually(what, async || {
        let text = get(control_plane, "/v1/status").await?.1;
        let status: Value = serde_json::from_str(&text)?;
        ensure!(is(&status), "{status}");
        Ok(status)
    })
    .await
}

async fn get(control_plane: &ControlPlane, path: &str) -> Result<(u16, String)> {
    let client = Http::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let uri = format!("{}{path}", control_plane.admin_url()).parse()?;
    let response = client.get(uri).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}
