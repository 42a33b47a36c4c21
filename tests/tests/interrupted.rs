//! A control plane that is killed, or hangs, while streams are open: nobody
//! notices, and afterwards the rebalance ends as if nothing had been.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use sharding::{Drain, FilterConfig};
use yorkies_tests::{
    Cluster, Envoy, Mode, Settings, TestEnvironment, Traffic, Watchers, equal_weights, eventually,
    keys,
};

const STREAMS: usize = 240;
const DOCUMENTS: usize = 60;

/// Documents that are asked for all the time.
const TRAFFIC: usize = 20;

/// Slow enough that a kill falls in the middle of a drain.
const SLOW_DRAIN: &str = "rebalance: { ack_wait: 1m }\ndrain: { rate: 30, max_window: 10s }\n";

/// How long the control plane is away.
const AWAY: Duration = Duration::from_secs(30);

/// Between two looks at what Envoy waits for.
const LOOK: Duration = Duration::from_millis(500);

/// Most requests to the control plane that an Envoy of two workers may have
/// open: the stream of xDS, and of each worker's VM a report a second for the two
/// seconds that it waits for an answer.
const MAX_WAITING: u64 = 1 + 2 * 3;

/// What the state file has when the control plane is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// All that was saved.
    All,
    /// The new assignment, but not its release.
    Held,
    /// The assignment before it.
    Older,
}

#[test]
fn killed_while_it_holds_it_goes_on_with_the_rebalance() {
    TestEnvironment::run(async |env| kill_while_holding(env, Found::All).await);
}

#[test]
fn killed_while_it_holds_with_nothing_saved_it_begins_again() {
    TestEnvironment::run(async |env| kill_while_holding(env, Found::Older).await);
}

#[test]
fn killed_while_streams_are_drained_it_finds_them_drained() {
    TestEnvironment::run(async |env| kill_while_draining(env, Found::All).await);
}

#[test]
fn killed_while_streams_are_drained_with_the_release_unsaved_it_releases_again() {
    TestEnvironment::run(async |env| kill_while_draining(env, Found::Held).await);
}

#[test]
fn killed_while_streams_are_drained_with_nothing_saved_it_begins_again() {
    TestEnvironment::run(async |env| kill_while_draining(env, Found::Older).await);
}

#[test]
fn while_the_control_plane_is_away_reports_do_not_pile_up() {
    TestEnvironment::run(async |env| {
        let mut scene = Scene::start(env, Settings::default()).await?;
        scene.cluster.control_plane.kill()?;
        scene.expect_few_waiting().await?;
        scene.cluster.control_plane.restart().await?;
        scene.expect_reports().await?;
        scene.finish(&[]).await
    });
}

/// It takes connections and never answers.
#[test]
fn while_the_control_plane_hangs_reports_do_not_pile_up() {
    TestEnvironment::run(async |env| {
        let scene = Scene::start(env, Settings::default()).await?;
        scene.cluster.control_plane.signal(Signal::STOP)?;
        let few = scene.expect_few_waiting().await;
        scene.cluster.control_plane.signal(Signal::CONT)?;
        few?;
        scene.expect_reports().await?;
        scene.finish(&[]).await
    });
}

async fn kill_while_holding(env: &mut TestEnvironment, found: Found) -> Result<()> {
    let settings = Settings {
        more: SLOW_DRAIN,
        ..Settings::default()
    };
    let mut scene = Scene::start(env, settings).await?;
    let slow = scene.cluster.envoys[1].clone();
    slow.pause().await?;
    let (older, moved) = scene.add_a_fourth()?;
    let held = scene.reached("holding").await?;
    // Who waits is the stopped proxy: the other one routes by it.
    let quick = &scene.cluster.envoys[0];
    let client = quick.client(yorkies_tests::Protocol::H2c).await?;
    ensure!(yorkies_tests::settled(&[&client], scene.cluster.epoch()).await? == held);
    scene.cluster.control_plane.kill()?;
    let early = scene.watchers.ended_since(scene.start).len();
    ensure!(early == 0, "{early} streams ended while it held");
    scene.leave(&older, found)?;
    scene.cluster.control_plane.restart().await?;
    slow.resume().await?;
    scene.cluster.rebalanced().await?;
    let epoch = scene.cluster.epoch();
    ensure!(
        epoch == held || (found == Found::Older && epoch > held),
        "epoch {epoch} after {held}"
    );
    scene.finish(&moved).await
}

async fn kill_while_draining(env: &mut TestEnvironment, found: Found) -> Result<()> {
    let settings = Settings {
        more: SLOW_DRAIN,
        ..Settings::default()
    };
    let mut scene = Scene::start(env, settings).await?;
    let (older, moved) = scene.add_a_fourth()?;
    let released = scene.reached("draining").await?;
    eventually("in the middle of the drain", async || {
        let ended = scene.watchers.ended_since(scene.start).len();
        ensure!(ended > moved.len() / 5, "{ended} have ended");
        Ok(())
    })
    .await?;
    scene.cluster.control_plane.kill()?;
    let ended = scene.watchers.ended_since(scene.start).len();
    ensure!(ended < moved.len(), "the drain was over already");
    println!("{ended} of {} streams had ended", moved.len());
    scene.leave(&older, found)?;
    scene.cluster.control_plane.restart().await?;
    scene.cluster.rebalanced().await?;
    let epoch = scene.cluster.epoch();
    ensure!(
        epoch == released || (found == Found::Older && epoch > released),
        "epoch {epoch} after {released}"
    );
    scene.finish(&moved).await
}

/// Two proxies before three of four members, with open streams and requests.
struct Scene {
    cluster: Cluster,
    watchers: Watchers,
    traffic: Vec<Traffic>,
    members: Vec<yorkies_tests::Member>,
    start: Instant,
}

impl Scene {
    async fn start(env: &mut TestEnvironment, settings: Settings) -> Result<Self> {
        let members = env.members(4).await?;
        let three = equal_weights(&members[..3]);
        let cluster = Cluster::start(env, settings, &Mode::ALL, three).await?;
        let documents = keys(DOCUMENTS);
        let watchers = cluster.watches(&documents, STREAMS).await?;
        let watchers = Watchers::start(watchers).await?;
        let asked = &documents[..TRAFFIC];
        let traffic = cluster.clients.iter();
        let traffic = traffic
            .map(|client| Traffic::start(client.clone(), asked.to_vec()))
            .collect();
        let this = Self {
            cluster,
            watchers,
            traffic,
            members,
            start: Instant::now(),
        };
        this.expect_reports().await?;
        Ok(this)
    }

    /// Returns the state from before, and the watches that have to end.
    fn add_a_fourth(&mut self) -> Result<(Vec<u8>, Vec<usize>)> {
        let older = fs::read(self.cluster.control_plane.state_file())?;
        let before = self.cluster.expected()?;
        self.cluster.edit(equal_weights(&self.members))?;
        let moved = self.cluster.moved(&before, self.watchers.watches())?;
        ensure!(moved.len() > 20, "only {} streams move", moved.len());
        Ok((older, moved))
    }

    /// Waits until the next rebalance is at that stage; returns its epoch.
    async fn reached(&self, stage: &str) -> Result<u64> {
        eventually(stage, async || {
            let status = self.cluster.control_plane.status().await?;
            let epoch = status["epoch"].as_u64().context("no epoch")?;
            ensure!(
                epoch > self.cluster.epoch() && status["stage"] == stage,
                "at epoch {epoch}, {}",
                status["stage"]
            );
            Ok(epoch)
        })
        .await
    }

    /// Makes the state file what is to be found at the next start.
    fn leave(&self, older: &[u8], found: Found) -> Result<()> {
        let file = self.cluster.control_plane.state_file();
        match found {
            Found::All => {}
            Found::Held => {
                let saved = FilterConfig::from_json(&fs::read(&file)?)?.config;
                ensure!(saved.drain != Drain::Hold, "the release was not saved");
                let held = FilterConfig {
                    drain: Drain::Hold,
                    ..saved
                };
                fs::write(file, held.to_json()?)?;
            }
            Found::Older => fs::write(file, older)?,
        }
        Ok(())
    }

    /// For as long as the control plane is away, fails if more and more
    /// requests to it wait.
    async fn expect_few_waiting(&self) -> Result<()> {
        let start = Instant::now();
        let mut most = 0;
        while start.elapsed() < AWAY {
            tokio::time::sleep(LOOK).await;
            for envoy in &self.cluster.envoys {
                most = most.max(waiting(envoy).await?);
            }
            ensure!(most <= MAX_WAITING, "{most} requests wait");
        }
        println!("at most {most} requests to the control plane waited");
        Ok(())
    }

    /// Waits until the reports name every stream, and none that is misplaced.
    async fn expect_reports(&self) -> Result<()> {
        eventually("every stream reported", async || {
            let status = self.cluster.control_plane.status().await?;
            let proxies = status["proxies"].as_array().into_iter().flatten();
            let vms: Vec<_> = proxies
                .filter_map(|proxy| proxy["vms"].as_array())
                .flatten()
                .collect();
            let sum = |name: &str| -> u64 {
                let of = |vm: &&Value| vm[name].as_u64().unwrap_or_default();
                vms.iter().map(of).sum()
            };
            let (open, misplaced) = (sum("open"), sum("misplaced"));
            ensure!(
                open == STREAMS as u64 && misplaced == 0,
                "{open} of {STREAMS} are reported, {misplaced} misplaced, by {vms:?}"
            );
            Ok(())
        })
        .await
    }

    /// Fails unless just these streams ended, each once, no request was lost, and
    /// all is where it belongs.
    async fn finish(self, moved: &[usize]) -> Result<()> {
        self.cluster.expect_placed(&self.watchers).await?;
        self.expect_reports().await?;
        self.watchers.expect_ended(self.start, moved)?;
        for traffic in self.traffic {
            let report = traffic.stop().await?;
            let failures = report.failures;
            ensure!(
                report.answered > 0 && failures.is_empty(),
                "requests lost: {failures:?}"
            );
        }
        let refusals = self.watchers.refusals();
        ensure!(refusals.is_empty(), "{refusals:?}");
        self.cluster.expect_members_agree(&self.members, STREAMS)
    }
}

/// Requests to the control plane that an Envoy has open or in its queue.
async fn waiting(envoy: &Envoy) -> Result<u64> {
    let stats = envoy.admin()?.stats().await?;
    let gauge = |name: &str| {
        let name = format!("cluster.yorkies_xds.upstream_rq_{name}");
        let value = stats.get(&name).copied();
        value.with_context(|| format!("Envoy does not count {name}"))
    };
    Ok(gauge("active")? + gauge("pending_active")?)
}
