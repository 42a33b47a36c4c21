//! Members that fail: who is taken out, who is not, and what becomes of their
//! documents meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use sharding::Member as Entry;
use tokio::net::TcpListener;
use yorkies_tests::{
    Cluster, DocumentServer, DocumentStore, MemberProcess, Mode, Settings, TestEnvironment,
    Traffic, Watchers, eventually, keys,
};

const STREAMS: usize = 40;
const DOCUMENTS: usize = 60;

/// Members, a cluster of them, and people who watch.
struct Scene {
    members: Vec<MemberProcess>,
    cluster: Cluster,
    watchers: Watchers,
}

impl Scene {
    /// Starts three members at addresses of their own.
    async fn start(env: &mut TestEnvironment, more: &'static str) -> Result<Self> {
        let mut members = Vec::new();
        for number in 0..3 {
            let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + number));
            let (binary, id) = (env!("CARGO_BIN_EXE_member"), format!("yorkie-{number}"));
            members.push(MemberProcess::start(binary, env.folder(), id, ip).await?);
        }
        let settings = Settings {
            more,
            ..Settings::default()
        };
        let entries = members.iter().map(MemberProcess::entry).collect();
        let cluster = Cluster::start(env, settings, &Mode::ALL, entries).await?;
        let streams = cluster.watches(&keys(DOCUMENTS), STREAMS).await?;
        let watchers = Watchers::start(streams).await?;
        // Until a proxy reports, the checks alone decide.
        eventually("reports of every proxy", async || {
            let status = cluster.control_plane.status().await?;
            let proxies = status["proxies"].as_array().context("no proxies")?;
            let report = |proxy: &Value| proxy["vms"].as_array().is_some_and(|vms| !vms.is_empty());
            ensure!(
                proxies.len() == Mode::ALL.len() && proxies.iter().all(report),
                "{proxies:#?}"
            );
            Ok(())
        })
        .await?;
        Ok(Self {
            members,
            cluster,
            watchers,
        })
    }

    fn entries(&self, numbers: &[usize]) -> Vec<Entry> {
        numbers
            .iter()
            .map(|&number| self.members[number].entry())
            .collect()
    }

    /// Waits until just these members serve, and every stream is with one of them.
    async fn serve(&mut self, numbers: &[usize]) -> Result<()> {
        let entries = self.entries(numbers);
        self.cluster.control_plane.expect_members(entries);
        self.cluster.rebalanced().await?;
        self.cluster.expect_placed(&self.watchers).await
    }

    /// Asks for documents, round after round, through every proxy.
    fn traffic(&self) -> Vec<Traffic> {
        let clients = self.cluster.clients.iter().step_by(2);
        clients
            .map(|client| Traffic::start(client.clone(), keys(DOCUMENTS)))
            .collect()
    }

    async fn status(&self, number: usize) -> Result<Value> {
        let mut status = self.cluster.control_plane.status().await?;
        let id = format!("yorkie-{number}");
        let members = status["members"].as_array_mut().context("no members")?;
        let member = members.iter_mut().find(|member| member["id"] == id);
        Ok(member.context(id)?.take())
    }

    async fn expect_state(&self, number: usize, state: &str, why: &str) -> Result<()> {
        eventually(state, async || {
            let member = self.status(number).await?;
            let has_why = member["why"].as_str().unwrap_or_default().contains(why);
            ensure!(member["state"] == state && has_why, "{member:#}");
            Ok(())
        })
        .await
    }

    async fn order(&self, order: &str, number: usize) -> Result<()> {
        let id = format!("yorkie-{number}");
        let done = self
            .cluster
            .control_plane
            .command(&["member", order, &id])
            .await?;
        ensure!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    /// Waits until that many more checks have come to that end.
    async fn checks(&self, outcome: &str, more: f64) -> Result<()> {
        let name = format!("yorkies_health_checks_total{{outcome=\"{outcome}\"}}");
        let before = self.cluster.control_plane.metric(&name).await?;
        eventually("so many checks", async || {
            let now = self.cluster.control_plane.metric(&name).await?;
            ensure!(now >= before + more, "{now} {outcome}, {before} before");
            Ok(())
        })
        .await
    }

    async fn expect_held_back(&self, members: &str) -> Result<()> {
        eventually("held back", async || {
            let held_back = self
                .cluster
                .control_plane
                .metric("yorkies_health_held_back");
            let held_back = held_back.await?.to_string();
            ensure!(held_back == members, "{held_back} instead of {members}");
            Ok(())
        })
        .await
    }

    async fn epoch(&self) -> Result<u64> {
        let status = self.cluster.control_plane.status().await?;
        status["epoch"].as_u64().context("no epoch")
    }
}

/// What is asked from now on is answered, every time, by its owner.
async fn expect_flawless(scene: &Scene) -> Result<()> {
    let traffic = scene.traffic();
    scene.checks("passed", 10.0).await?;
    for traffic in traffic {
        traffic.stop().await?.expect_flawless()?;
    }
    Ok(())
}

#[test]
fn a_member_that_is_killed_is_ejected_and_comes_back_once_it_is_started_again() {
    TestEnvironment::run(async |env| {
        let more = concat!(
            "drain: { rate: 1, max_window: 1m }\n",
            "health: { check: { http: /health }, incarnation: {}, interval: 200ms, timeout: 150ms }\n"
        );
        let mut scene = Scene::start(env, more).await?;
        let traffic = scene.traffic();
        let killed = Instant::now();
        scene.members[1].kill()?;
        scene.serve(&[0, 2]).await?;
        println!("served by others {:?} after the kill", killed.elapsed());
        expect_flawless(&scene).await?;
        drop(traffic);
        scene.expect_state(1, "ejected", "refused").await?;
        let status = scene.cluster.control_plane.status().await?;
        let last = &status["last"][0];
        ensure!(
            last["window_ms"] == 0,
            "paced at a stream a second: {last:#}"
        );
        ensure!(last["settle_ms"].as_u64() < Some(100), "{last:#}");

        scene.members[1].restart().await?;
        let started = Instant::now();
        scene
            .cluster
            .control_plane
            .logged(&["Member readmitted", "yorkie-1"])
            .await?;
        println!("readmitted {:?} after the start", started.elapsed());
        Ok(())
    });
}

#[test]
fn a_member_that_hangs_is_ejected_and_stays_out_until_a_person_lets_it_back() {
    TestEnvironment::run(async |env| {
        let more = "health: { check: { http: /health }, incarnation: {}, interval: 200ms, timeout: 150ms }\n";
        let mut scene = Scene::start(env, more).await?;
        let traffic = scene.traffic();
        scene.members[1].signal(Signal::STOP)?;
        scene.serve(&[0, 2]).await?;
        drop(traffic);
        expect_flawless(&scene).await?;

        scene.members[1].signal(Signal::CONT)?;
        scene
            .expect_state(1, "ejected", "waits for another incarnation")
            .await?;
        let epoch = scene.epoch().await?;
        scene.checks("passed", 30.0).await?;
        ensure!(scene.epoch().await? == epoch, "it came back by itself");
        scene.order("readmit", 1).await?;
        scene.serve(&[0, 1, 2]).await
    });
}

#[test]
fn a_member_that_is_drained_gives_up_just_its_streams_and_takes_them_back() {
    TestEnvironment::run(async |env| {
        let more = "health: { check: { http: /health }, incarnation: {}, interval: 200ms, timeout: 150ms }\n";
        let mut scene = Scene::start(env, more).await?;
        for (order, number, refused) in [
            ("drain", 9, "404 Not Found: there is no member \"yorkie-9\""),
            ("readmit", 0, "409 Conflict: yorkie-0 is not ejected"),
        ] {
            let said = scene
                .order(order, number)
                .await
                .err()
                .map(|error| error.to_string());
            let said = said.unwrap_or_default();
            ensure!(said.contains(refused), "{said:?}");
        }
        let traffic = scene.traffic();
        let before = scene.cluster.expected()?;
        let start = Instant::now();
        scene.order("drain", 1).await?;
        scene.serve(&[0, 2]).await?;
        let moved = scene.cluster.moved(&before, scene.watchers.watches())?;
        ensure!(!moved.is_empty());
        scene.watchers.expect_ended(start, &moved)?;
        scene.expect_state(1, "drained", "by order").await?;

        let (before, start) = (scene.cluster.expected()?, Instant::now());
        scene.order("undrain", 1).await?;
        scene.serve(&[0, 1, 2]).await?;
        let moved = scene.cluster.moved(&before, scene.watchers.watches())?;
        scene.watchers.expect_ended(start, &moved)?;
        // Who answers while proxies switch is told elsewhere.
        for traffic in traffic {
            let report = traffic.stop().await?;
            ensure!(
                report.answered > 0 && report.failures.is_empty(),
                "{:?}",
                report.failures
            );
        }

        scene.order("drain", 1).await?;
        scene.cluster.control_plane.restart().await?;
        scene.checks("passed", 10.0).await?;
        scene.expect_state(1, "drained", "by order").await?;
        let assignment = scene.cluster.control_plane.published().await?;
        let newest = assignment.values().next_back().context("no assignment")?;
        let ids: Vec<_> = newest
            .roster()
            .members()
            .iter()
            .map(|member| &member.id)
            .collect();
        ensure!(ids == ["yorkie-0", "yorkie-2"], "{ids:?}");
        Ok(())
    });
}

#[test]
fn when_most_members_fail_nobody_is_ejected_and_an_alarm_says_so() {
    TestEnvironment::run(async |env| {
        let more = concat!(
            "health: { check: { http: /health }, incarnation: {}, interval: 200ms, timeout: 150ms,",
            " quorum: 1 }\n"
        );
        let mut scene = Scene::start(env, more).await?;
        let epoch = scene.epoch().await?;
        // As if the network of the checks were cut.
        for member in &scene.members {
            member.signal(Signal::STOP)?;
        }
        scene.expect_held_back("3").await?;
        scene
            .cluster
            .control_plane
            .logged(&["Nobody is ejected"])
            .await?;
        scene.checks("failed", 12.0).await?;
        scene.expect_state(0, "failing", "too many fail").await?;
        scene.members[2].signal(Signal::CONT)?;
        scene.expect_state(2, "serving", "").await?;
        scene.checks("failed", 8.0).await?;
        // Two of three: still one too many.
        scene.expect_held_back("2").await?;
        ensure!(scene.epoch().await? == epoch, "somebody was taken out");
        scene.members[0].signal(Signal::CONT)?;
        scene.serve(&[0, 2]).await?;
        scene.expect_held_back("0").await
    });
}

#[test]
fn a_member_that_only_the_checks_cannot_reach_keeps_its_documents() {
    TestEnvironment::run(async |env| {
        let first = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = first.local_addr()?.port();
        let mut checked = vec![first];
        for number in 2..=3 {
            checked.push(TcpListener::bind((Ipv4Addr::new(127, 0, 0, number), port)).await?);
        }
        // Settings are for the whole program.
        let more =
            format!("health: {{ check: tcp, port: {port}, interval: 200ms, timeout: 150ms }}\n");
        let scene = Scene::start(env, Box::leak(more.into_boxed_str())).await?;
        let epoch = scene.epoch().await?;
        let traffic = scene.traffic();
        drop(checked.remove(1));
        scene.expect_state(1, "failing", "1 of 2 observers").await?;
        scene.checks("failed", 20.0).await?;
        ensure!(scene.epoch().await? == epoch, "it was taken out");
        for traffic in traffic {
            traffic.stop().await?.expect_flawless()?;
        }
        Ok(())
    });
}

#[test]
fn a_server_that_speaks_as_yorkie_passes_and_tells_its_incarnation() {
    TestEnvironment::run(async |env| {
        let store = DocumentStore::start(env.folder()).await?;
        let more = ["--metrics-listen", "127.0.0.1:0"];
        let server = DocumentServer::start_with(env.folder(), "yorkie-0", &store, &more).await?;
        let output = server.process().output()?;
        let first: Value = serde_json::from_str(output.lines().next().unwrap_or_default())?;
        let metrics: SocketAddr = first["metrics"].as_str().context("no metrics")?.parse()?;
        for (check, passes) in [
            ("http: /yorkie.v1.YorkieService/health", true),
            ("grpc: yorkie.v1.YorkieService", true),
            ("grpc: wiki.v1.Wiki", false),
            ("http: /nowhere", false),
        ] {
            let port = metrics.port();
            let more =
                format!("health: {{ check: {{ {check} }}, incarnation: {{ port: {port} }} }}\n");
            let settings = Settings {
                // Settings are for the whole program.
                more: Box::leak(more.into_boxed_str()),
                ..Settings::default()
            };
            let mut control_plane = env.control_plane(settings).await?;
            control_plane.edit(vec![server.entry(1)])?;
            eventually("checked", async || {
                let status = control_plane.status().await?;
                let member = &status["members"][0];
                let incarnation = member["incarnation"].as_str();
                let is_as_expected = if passes {
                    member["state"] == "serving" && incarnation.is_some()
                } else {
                    member["state"] == "awaited" && member["why"] != "was not checked yet"
                };
                ensure!(is_as_expected, "{check}: {member:#}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    });
}
