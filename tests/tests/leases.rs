//! Members that register themselves: they stay for as long as they are heard
//! of, and the control plane may come and go meanwhile.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use sharding::{Member as Entry, Policy};
use yorkies_tests::{
    Agent, Client, ControlPlane, DocumentStore, Mode, Process, Protocol, Registered, Reply,
    Request, Settings, TestEnvironment, Traffic, assignment, document_server_binary, equal_weights,
    eventually, expect_owners, keys, own_address, run_xds_server, settled,
};

const LEASES: &str = "leases";

/// So long that nobody expires in a test.
const LONG: Duration = Duration::from_hours(1);

const KEYS: usize = 1_000;
const TRAFFIC: usize = 100;

#[test]
fn document_servers_are_members_from_when_they_are_healthy_until_they_end() {
    TestEnvironment::run(async |env| {
        let store = DocumentStore::start(env.folder()).await?;
        let control_plane = start(env).await?;
        let ttl = Duration::from_secs(3);
        let mut agents = Vec::new();
        for (id, ttl) in [("a", LONG), ("b", ttl), ("c", LONG)] {
            let server = document_server(id, ttl, &store)?;
            let agent = Agent::start(env.folder(), &control_plane, &server)?;
            agents.push((server.entry, agent));
        }
        let expected = |of: &[&Entry]| -> Vec<String> {
            of.iter()
                .map(|entry| format!("{}={}*1", entry.id, entry.address))
                .collect()
        };
        let [(a, mut stopped), (b, killed), (c, _running)] =
            <[_; 3]>::try_from(agents).map_err(|_| anyhow::anyhow!("three agents"))?;
        control_plane
            .wait_for_members(&expected(&[&a, &b, &c]))
            .await?;
        let run = &control_plane.status().await?["members"][0]["incarnation"];
        ensure!(run.is_string(), "{run} tells no run from another");

        // It would stay for an hour if it did not say that it leaves.
        stopped.signal(Signal::TERM)?;
        control_plane.wait_for_members(&expected(&[&b, &c])).await?;
        stopped.says("Deregistered").await?;
        let status = stopped.process().ended().await?;
        ensure!(status.success(), "the document server ends well: {status}");

        let kill = Instant::now();
        killed.kill()?;
        control_plane.wait_for_members(&expected(&[&c])).await?;
        let took = kill.elapsed();
        println!("killed, and no longer a member after {took:?} of {ttl:?}");
        // Its last renewal was at most a fifth before.
        ensure!(took >= ttl * 4 / 5, "it left after {took:?}");
        control_plane
            .logged(&["WARN", "not renewed in time", "b"])
            .await?;
        control_plane
            .logged(&["WARN", "Leases expired", "b"])
            .await?;
        Ok(())
    });
}

#[test]
fn nobody_is_lost_while_the_control_plane_is_gone_or_by_its_return() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let mut control_plane = start(env).await?;
        let ttl = Duration::from_secs(4);
        let mut agents = Vec::new();
        for entry in equal_weights(&members) {
            let registered = Registered {
                entry,
                ttl,
                health: None,
                command: Vec::new(),
            };
            agents.push(Agent::start(env.folder(), &control_plane, &registered)?);
        }
        for agent in &mut agents {
            agent.says("Registered").await?;
        }
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let client = envoy.client(Protocol::H2c).await?;
        let expected = assignment(Policy::default(), equal_weights(&members))?;
        eventually("all three serve", async || {
            settled(&[&client], 0).await?;
            expect_owners(&client, &expected, &keys(KEYS)).await
        })
        .await?;
        let epoch = control_plane.epoch().await?;
        let tokens = tokens(&control_plane).await?;

        let traffic = Traffic::start(client.clone(), keys(TRAFFIC));
        control_plane.restart().await?;
        // Longer than any lease.
        control_plane.kill()?;
        for agent in &mut agents {
            agent.says("No longer registered").await?;
        }
        control_plane.restart().await?;
        control_plane.fresh(LEASES).await?;
        eventually("registered anew", async || {
            let now = self::tokens(&control_plane).await?;
            ensure!(now.len() == 3, "{now:?}");
            let all = now.iter().zip(&tokens);
            ensure!(
                all.clone().all(|(new, old)| new > old),
                "{now:?} after {tokens:?}"
            );
            Ok(())
        })
        .await?;
        expect_owners(&client, &expected, &keys(KEYS)).await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");

        // All fall silent at once, as when the network is away: nobody is lost.
        agents
            .iter()
            .try_for_each(|agent| agent.signal(Signal::STOP))?;
        let kept = "no lease is renewed: all 3 members are kept";
        control_plane.refused(LEASES, kept).await?;
        control_plane.stale(LEASES, Duration::from_secs(1)).await?;
        agents
            .iter()
            .try_for_each(|agent| agent.signal(Signal::CONT))?;
        control_plane.fresh(LEASES).await?;
        eventually("renewed", async || {
            let now = self::leases(&control_plane).await?;
            let late = now.iter().filter(|lease| lease["late"] != false).count();
            ensure!(now.len() == 3 && late == 0, "{now:?}");
            Ok(())
        })
        .await?;
        ensure!(control_plane.epoch().await? == epoch, "another epoch");
        expect_owners(&client, &expected, &keys(KEYS)).await?;
        let report = traffic.stop().await?;
        ensure!(report.failures.is_empty(), "requests lost: {report:?}");
        Ok(())
    });
}

#[test]
fn whoever_acquires_a_lease_last_has_it() {
    TestEnvironment::run(async |env| {
        let mut control_plane = start(env).await?;
        let store = DocumentStore::start(env.folder()).await?;
        let server = document_server("a", Duration::from_secs(10), &store)?;
        let mut agent = Agent::start(env.folder(), &control_plane, &server)?;
        agent.says("Registered").await?;
        let held = tokens(&control_plane).await?[0];

        let lease = json!({ "id": "b", "address": "10.0.0.2:80", "ttl_ms": 3_600_000 });
        let first = post(&control_plane, "", &lease).await?;
        ensure!(first.status.is_success(), "{}", first.text());
        let first = token(&first)?;
        control_plane.restart().await?;
        let again = token(&post(&control_plane, "", &lease).await?)?;
        ensure!(held < first && first < again, "{held}, {first}, {again}");
        for (path, id, token, status, text) in [
            ("/renew", "b", first, StatusCode::CONFLICT, "is stale"),
            ("/release", "b", first, StatusCode::CONFLICT, "is stale"),
            ("/renew", "b", again, StatusCode::OK, ""),
            ("/release", "b", again, StatusCode::OK, ""),
            (
                "/release",
                "b",
                again,
                StatusCode::NOT_FOUND,
                "no lease of \"b\"",
            ),
            (
                "/renew",
                "c",
                again,
                StatusCode::NOT_FOUND,
                "no lease of \"c\"",
            ),
        ] {
            let held = json!({ "id": id, "token": token });
            let reply = post(&control_plane, path, &held).await?;
            ensure!(
                reply.status == status && problem(&reply).contains(text),
                "{path} {id}: {} {}",
                reply.status,
                reply.text()
            );
        }
        for (change, text) in [
            (json!({ "address": "10.0.0.2:0" }), "cannot be connected to"),
            (json!({ "ttl_ms": 999 }), "ttl_ms 999 is not usable"),
            (json!({ "weight": 0 }), "has weight 0"),
        ] {
            let mut lease = lease.clone();
            for (name, value) in change.as_object().into_iter().flatten() {
                lease[name] = value.clone();
            }
            let reply = post(&control_plane, "", &lease).await?;
            let is_refused = reply.status == StatusCode::BAD_REQUEST;
            ensure!(
                is_refused && problem(&reply).contains(text),
                "{}",
                reply.text()
            );
        }

        // Under the name of the agent's server: that is no longer the one.
        let taken = json!({ "id": "a", "address": "10.0.0.1:80", "ttl_ms": 3_600_000 });
        let status = agent_after(&mut agent, &control_plane, &taken).await?;
        ensure!(!status, "the agent says nothing of it");
        control_plane
            .wait_for_members(&["a=10.0.0.1:80*1".to_owned()])
            .await
    });
}

#[test]
fn the_exit_code_of_the_server_is_passed_on() {
    TestEnvironment::run(async |env| {
        let control_plane = start(env).await?;
        let admin = control_plane.admin_url();
        let token = control_plane.token_file().display().to_string();
        for (script, code) in [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", 143)] {
            let register = ["register", "--id", "a", "--address", "10.0.0.1:80"];
            let of_server = ["--admin", &admin, "--token-file", &token];
            let server = ["--", "sh", "-c", script];
            let arguments = [&register[..], &of_server, &server].concat();
            let output = run_xds_server(env.folder(), &arguments).await?;
            let status = output.status;
            ensure!(status.code() == Some(code), "{script}: {status}");
        }
        Ok(())
    });
}

#[test]
fn who_has_a_lease_serves_for_as_long_as_the_checks_say_so() {
    TestEnvironment::run(async |env| {
        let settings = Settings {
            more: "health: { check: tcp, interval: 200ms, timeout: 200ms }\n",
            ..settings()?
        };
        let control_plane = env.control_plane(settings).await?;
        let (there, late) = (own_address()?, own_address()?);
        let _there = TcpListener::bind(there)?;
        let mut leases = Vec::new();
        for (id, address) in [("a", there), ("b", late)] {
            let lease = json!({ "id": id, "address": address, "ttl_ms": 3_600_000 });
            let reply = post(&control_plane, "", &lease).await?;
            leases.push(json!({ "id": id, "token": token(&reply)? }));
        }
        expect_states(&control_plane, &["a serving", "b awaited"]).await?;
        let _late = TcpListener::bind(late)?;
        expect_states(&control_plane, &["a serving", "b serving"]).await?;
        // Well as it is, who leaves has left.
        post(&control_plane, "/release", &leases[0]).await?;
        expect_states(&control_plane, &["b serving"]).await
    });
}

#[test]
fn without_the_token_of_the_admin_interface_nobody_becomes_a_member() {
    TestEnvironment::run(async |env| {
        let control_plane = start(env).await?;
        let lease = json!({ "id": "a", "address": "10.0.0.1:80" });
        let request = Request::new(Method::POST, "/v1/leases")
            .header("content-type", "application/json")?
            .body(lease.to_string());
        let reply = admin(&control_plane)?.send(&request).await?;
        ensure!(reply.status == StatusCode::UNAUTHORIZED, "{}", reply.text());

        let file = env.folder().join("agent-token");
        let registered = Registered {
            entry: Entry::new("a", SocketAddr::from(([10, 0, 0, 1], 80)), 1),
            ttl: LONG,
            health: None,
            command: Vec::new(),
        };
        let mut agent = Agent::start_with(env.folder(), &control_plane, &file, &registered)?;
        agent.says("agent-token: cannot be read").await?;
        fs::write(&file, "another-token-of-that-length")?;
        agent.says("401 Unauthorized").await?;
        // It is read for each request.
        fs::copy(control_plane.token_file(), &file)?;
        agent.says("Registered").await?;
        control_plane
            .wait_for_members(&["a=10.0.0.1:80*1".to_owned()])
            .await
    });
}

/// Waits until there are these members, by id, in these states.
async fn expect_states(control_plane: &ControlPlane, expected: &[&str]) -> Result<()> {
    eventually("the expected states", async || {
        let status = control_plane.status().await?;
        let members = status["members"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found: Vec<_> = members
            .map(|member| format!("{} {}", text(&member["id"]), text(&member["state"])))
            .collect();
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(())
    })
    .await
}

/// Somebody takes the agent's name. Whether the agent then ends well.
async fn agent_after(
    agent: &mut Agent,
    control_plane: &ControlPlane,
    taken: &Value,
) -> Result<bool> {
    let reply = post(control_plane, "", taken).await?;
    ensure!(reply.status.is_success(), "{}", reply.text());
    let process: &mut Process = agent.process();
    Ok(process.ended().await?.success())
}

async fn start(env: &mut TestEnvironment) -> Result<ControlPlane> {
    env.control_plane(settings()?).await
}

fn settings() -> Result<Settings> {
    Ok(Settings {
        registry: "{ leases: { file: leases.redb } }".to_owned(),
        admin: own_address()?,
        ..Settings::default()
    })
}

/// A document server that an agent starts, and that takes its time to be there.
fn document_server(id: &str, ttl: Duration, store: &DocumentStore) -> Result<Registered> {
    let (address, metrics) = (own_address()?, own_address()?);
    let server = [
        document_server_binary()?.into_os_string(),
        "serve".into(),
        "--id".into(),
        id.into(),
        "--store".into(),
        store.url().into(),
        "--listen".into(),
        address.to_string().into(),
        "--metrics-listen".into(),
        metrics.to_string().into(),
    ];
    let late = ["sh", "-c", "sleep 0.3; exec \"$@\"", "late"];
    Ok(Registered {
        entry: Entry::new(id, address, 1),
        ttl,
        health: Some(format!("http://{metrics}/metrics")),
        command: late.map(OsString::from).into_iter().chain(server).collect(),
    })
}

fn admin(control_plane: &ControlPlane) -> Result<Client> {
    let url = control_plane.admin_url();
    let address: SocketAddr = url.trim_start_matches("http://").parse()?;
    Ok(Client::new(address, Protocol::Http1))
}

async fn post(control_plane: &ControlPlane, path: &str, message: &Value) -> Result<Reply> {
    let request = Request::new(Method::POST, &format!("/v1/leases{path}"))
        .header("content-type", "application/json")?
        .header("authorization", ControlPlane::authorization())?
        .body(message.to_string());
    admin(control_plane)?.send(&request).await
}

/// What it says is wrong; nothing if all is well.
fn problem(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    body["error"].as_str().unwrap_or_default().to_owned()
}

fn token(reply: &Reply) -> Result<u64> {
    let acquired: Value = serde_json::from_slice(&reply.body)?;
    Ok(acquired["token"].as_u64().unwrap_or_default())
}

/// Those of all leases, by id.
async fn tokens(control_plane: &ControlPlane) -> Result<Vec<u64>> {
    let leases = leases(control_plane).await?;
    let tokens = leases.iter().filter_map(|lease| lease["token"].as_u64());
    Ok(tokens.collect())
}

/// All of them, by id, as they are shown.
async fn leases(control_plane: &ControlPlane) -> Result<Vec<Value>> {
    let request = Request::new(Method::GET, "/v1/leases");
    let reply = admin(control_plane)?.send(&request).await?;
    Ok(serde_json::from_slice(&reply.body)?)
}
