//! Make before break: no stream is ended before every proxy sends its
//! document's requests to the new owner.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use sharding::{Assignment, Policy, SHARD_KEY};
use tokio::task::JoinSet;
use yorkies_tests::{
    Client, Cluster, Envoy, Member, Mode, Protocol, Request, Settings, TestEnvironment, Watchers,
    equal_weights, eventually, keys,
};

const DOCUMENTS: usize = 60;
const ROUNDS: usize = 20;

/// How long a proxy that does not move is watched holding up the others. The
/// longer, the likelier an early end would be seen.
const HELD: Duration = Duration::from_millis(700);

#[test]
fn whoever_is_ended_already_reaches_the_new_owner_through_any_proxy() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let mut scene = Scene::start(env, Settings::default(), &members).await?;
        let mut judged = 0;
        for round in 0..ROUNDS {
            let count = if round % 2 == 0 { 4 } else { 3 };
            let before = scene.cluster.expected()?;
            let start = Instant::now();
            scene.cluster.edit(equal_weights(&members[..count]))?;
            scene.cluster.rebalanced().await?;
            scene.cluster.expect_placed(&scene.watchers).await?;
            judged += scene.expect_no_return(&before, start, &members)?;
        }
        println!("{judged} documents moved in {ROUNDS} rounds");
        scene.probes.stop().await
    });
}

#[test]
fn whoever_is_ended_by_another_policy_reaches_the_new_owner_through_any_proxy() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let mut scene = Scene::start(env, Settings::default(), &members).await?;
        let policies = [
            "maglev:251",
            "ring_hash:1024:4096",
            "maglev:65537",
            "maglev:1021",
        ];
        for policy in policies {
            let policy: Policy = policy.parse()?;
            let before = scene.cluster.expected()?;
            let start = Instant::now();
            scene.cluster.restart_with(policy).await?;
            scene.cluster.expect_placed(&scene.watchers).await?;
            let judged = scene.expect_no_return(&before, start, &members)?;
            ensure!(judged > 0, "{policy} moved nothing");
        }
        scene.probes.stop().await
    });
}

#[test]
fn a_slow_proxy_holds_up_the_drain_of_the_others() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let settings = Settings {
            more: "rebalance: { ack_wait: 1m }\n",
            ..Settings::default()
        };
        let mut scene = Scene::start(env, settings, &members).await?;
        let before = scene.cluster.expected()?;
        let (quick, slow) = (
            scene.cluster.envoys[0].clone(),
            scene.cluster.envoys[1].clone(),
        );

        let start = Instant::now();
        slow.pause().await?;
        scene.cluster.edit(equal_weights(&members))?;
        expect_newer_epoch(&quick, scene.cluster.epoch()).await?;
        tokio::time::sleep(HELD).await;
        let early = scene.watchers.ended_since(start);
        ensure!(
            early.is_empty(),
            "ended before the slow proxy knew: {early:?}"
        );

        slow.resume().await?;
        scene.cluster.rebalanced().await?;
        scene.cluster.expect_placed(&scene.watchers).await?;
        let judged = scene.expect_no_return(&before, start, &members)?;
        ensure!(judged > 0, "nothing moved");
        scene.probes.stop().await
    });
}

#[test]
fn a_proxy_that_is_gone_does_not_hold_up_the_others() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let settings = Settings {
            more: "rebalance: { ack_wait: 500ms }\n",
            ..Settings::default()
        };
        let mut scene = Scene::start(env, settings, &members).await?;
        let before = scene.cluster.expected()?;
        let (quick, gone) = (
            scene.cluster.envoys[0].address().await?,
            scene.cluster.envoys[1].clone(),
        );

        let start = Instant::now();
        gone.pause().await?;
        scene.cluster.edit(equal_weights(&members))?;
        let watches = scene.watchers.watches().to_vec();
        let moved = scene.cluster.moved(&before, &watches)?;
        let here: Vec<_> = moved
            .iter()
            .filter(|&&watch| watches[watch].proxy == quick)
            .collect();
        eventually("drained on the other proxy", async || {
            let ended = scene.watchers.ended_since(start);
            let (ended, here) = (ended.len(), here.len());
            ensure!(here > 0 && ended == here, "{ended} of {here} have ended");
            Ok(())
        })
        .await?;
        let name = gone.name().to_owned();
        scene
            .cluster
            .control_plane
            .logged(&["left behind", &name])
            .await?;

        gone.resume().await?;
        scene.cluster.rebalanced().await?;
        scene.cluster.expect_placed(&scene.watchers).await?;
        scene.probes.stop().await
    });
}

struct Scene {
    cluster: Cluster,
    watchers: Watchers,
    probes: Probes,
}

impl Scene {
    /// Starts with three members.
    async fn start(
        env: &mut TestEnvironment,
        settings: Settings,
        members: &[Member],
    ) -> Result<Self> {
        let first = equal_weights(&members[..3]);
        let cluster = Cluster::start(env, settings, &Mode::ALL, first).await?;
        let documents = keys(DOCUMENTS);
        let watchers = cluster.watches(&documents, 2 * DOCUMENTS).await?;
        let watchers = Watchers::start(watchers).await?;
        let probes = Probes::start(&cluster, &documents)?;
        Ok(Self {
            cluster,
            watchers,
            probes,
        })
    }

    /// Fails if a request for a document arrived at its old owner after the
    /// first of its streams had ended. Returns how many documents moved.
    fn expect_no_return(
        &self,
        before: &Assignment,
        start: Instant,
        members: &[Member],
    ) -> Result<usize> {
        let mut ended = BTreeMap::<String, Instant>::new();
        for session in self.watchers.ended_since(start) {
            let (at, _) = session.ended.context("it has ended")?;
            let key = self.watchers.watches()[session.watch].key.clone();
            let first = ended.entry(key).or_insert(at);
            *first = at.min(*first);
        }
        for member in members {
            let me = member.entry(1).address;
            for arrival in member.arrivals() {
                let Some(&ended) = ended.get(&arrival.key) else {
                    continue;
                };
                let late = arrival.at > ended && owner(before, &arrival.key)? == me;
                ensure!(
                    !late,
                    "a stream had ended for {:?} when its old owner got {arrival:?}",
                    arrival.at - ended
                );
            }
        }
        Ok(ended.len())
    }
}

/// Requests for every document through every proxy, all the time.
struct Probes {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Result<usize>>,
}

impl Probes {
    fn start(cluster: &Cluster, documents: &[String]) -> Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let mut tasks = JoinSet::new();
        for client in &cluster.clients {
            let requests: Result<Vec<_>> = documents.iter().map(|key| probe(client, key)).collect();
            let (client, requests, stop) = (client.clone(), requests?, stop.clone());
            tasks.spawn(async move {
                let mut answered = 0;
                while !stop.load(Ordering::Relaxed) {
                    for request in &requests {
                        client.send(request).await?.answer()?;
                        answered += 1;
                    }
                }
                Ok(answered)
            });
        }
        Ok(Self { stop, tasks })
    }

    /// Fails if a single one was not answered.
    async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(answered) = self.tasks.join_next().await {
            ensure!(answered?? > 0, "no request");
        }
        Ok(())
    }
}

fn probe(client: &Client, key: &str) -> Result<Request> {
    let path = format!("/document?through={}", client.address());
    Request::new(Method::GET, &path).header(SHARD_KEY, key)
}

fn owner(assignment: &Assignment, key: &str) -> Result<SocketAddr> {
    let owner = assignment.owner(key.as_bytes()).context("no member")?;
    Ok(owner.member.address)
}

/// Waits until that Envoy routes under a newer epoch.
async fn expect_newer_epoch(envoy: &Envoy, epoch: u64) -> Result<()> {
    let client = envoy.client(Protocol::H2c).await?;
    yorkies_tests::settled(&[&client], epoch).await?;
    Ok(())
}
