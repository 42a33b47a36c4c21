//! On a rebalance every stream whose document moved ends, at once, and no
//! other does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::{Assignment, Member as Entry};
use yorkies_tests::{
    Callers, Cluster, Member, Mode, Session, Settings, TestEnvironment, Watchers, equal_weights,
    eventually, keys,
};

const STREAMS: usize = 2000;
const DOCUMENTS: usize = 400;

/// Of both proxies.
const WORKERS: usize = 4;

/// Documents that are asked for, over and over, while streams are drained.
const TRAFFIC: usize = 50;

/// Longest time in which the watchers of one document leave. By chance, two of
/// them would be a third of the window apart.
const TOGETHER: Duration = Duration::from_millis(100);

/// Each of these tests wants the processors for itself: what it sees late it
/// would take for an end that came late.
static ALONE: Mutex<()> = Mutex::new(());

fn run(test: impl AsyncFnOnce(&mut TestEnvironment) -> Result<()>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    TestEnvironment::run(test);
}

#[test]
fn exactly_the_streams_that_moved_end_whatever_happens_to_the_roster() {
    run(async |env| {
        let members = env.members(4).await?;
        let stand_in = env.member("yorkie-1").await?;
        let first = equal_weights(&members[..3]);
        let mut scene = Scene::start(env, Settings::default(), first).await?;

        scene.change("add one", equal_weights(&members)).await?;
        scene
            .change("remove one", equal_weights(&members[1..]))
            .await?;
        let mut replaced = equal_weights(&members[1..]);
        replaced[0] = stand_in.entry(1);
        scene.change("replace one", replaced.clone()).await?;
        replaced[2] = members[3].entry(3);
        scene.change("weight", replaced).await?;

        let everybody: Vec<_> = members.iter().chain([&stand_in]).cloned().collect();
        scene.finish(&everybody).await
    });
}

/// 500 streams a second: 2000 streams of which half moves take a second.
#[test]
fn a_document_leaves_together_and_documents_are_spread_over_the_window() {
    run(async |env| {
        let members = env.members(2).await?;
        let settings = Settings {
            more: "drain: { rate: 500, max_window: 10s }\n",
            ..Settings::default()
        };
        let mut scene = Scene::start(env, settings, equal_weights(&members[..1])).await?;
        let ended = scene.change("add one", equal_weights(&members)).await?;
        let leaving = leaving(&scene.watchers, &ended);
        expect_together(&leaving)?;
        expect_spread(&leaving)?;
        scene.finish(&members).await
    });
}

#[test]
fn another_policy_or_table_size_ends_the_streams_that_it_moves() {
    run(async |env| {
        let members = env.members(3).await?;
        let mut scene = Scene::start(env, Settings::default(), equal_weights(&members)).await?;
        for policy in ["maglev:251", "ring_hash:1024:4096"] {
            let before = scene.cluster.expected()?;
            let start = Instant::now();
            scene.cluster.restart_with(policy.parse()?).await?;
            scene.expect_moved(policy, &before, start).await?;
        }
        scene.finish(&members).await
    });
}

/// Two proxies, one for each variant of xDS, with open streams and with
/// traffic.
struct Scene {
    cluster: Cluster,
    watchers: Watchers,
    callers: Callers,
    started: Instant,
    /// Over all rebalances.
    had_to_end: usize,
}

impl Scene {
    async fn start(
        env: &mut TestEnvironment,
        settings: Settings,
        entries: Vec<Entry>,
    ) -> Result<Self> {
        let cluster = Cluster::start(env, settings, &Mode::ALL, entries).await?;
        let documents = keys(DOCUMENTS);
        let watchers = cluster.watches(&documents, STREAMS).await?;
        let watchers = Watchers::start(watchers).await?;
        let mut proxies = Vec::new();
        for envoy in &cluster.envoys {
            proxies.push(envoy.address().await?);
        }
        let mut callers = Callers::start(&proxies, &documents[..TRAFFIC]);
        callers.settled(cluster.epoch());
        Ok(Self {
            callers,
            cluster,
            watchers,
            started: Instant::now(),
            had_to_end: 0,
        })
    }

    /// Changes the roster, and expects exactly the moved streams to end, once,
    /// and to come back at their new owner. Returns those that ended.
    async fn change(&mut self, what: &str, entries: Vec<Entry>) -> Result<Vec<Session>> {
        let before = self.cluster.expected()?;
        let start = Instant::now();
        self.cluster.edit(entries)?;
        self.cluster.rebalanced().await?;
        self.expect_moved(what, &before, start).await
    }

    async fn expect_moved(
        &mut self,
        what: &str,
        before: &Assignment,
        start: Instant,
    ) -> Result<Vec<Session>> {
        self.callers.settled(self.cluster.epoch());
        let placed = self.cluster.expect_placed(&self.watchers).await;
        placed.with_context(|| what.to_owned())?;
        let moved = self.cluster.moved(before, self.watchers.watches())?;
        let ended = self.watchers.expect_ended(start, &moved);
        let ended = ended.with_context(|| what.to_owned())?;
        self.had_to_end += moved.len();
        println!("{what}: {} of {STREAMS} streams moved", moved.len());
        self.expect_reported().await?;
        Ok(ended)
    }

    /// Waits until the filters' reports name every stream once, on the member
    /// that it is on, and none that is misplaced.
    async fn expect_reported(&self) -> Result<()> {
        let mut expected = BTreeMap::<String, u64>::new();
        for session in self.watchers.open() {
            *expected.entry(session.member).or_default() += 1;
        }
        eventually("every stream reported", async || {
            let status = self.cluster.control_plane.status().await?;
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let mut reported = BTreeMap::new();
            for member in list(&status["members"]) {
                let id = member["id"].as_str().unwrap_or_default().to_owned();
                let open = member["open"].as_u64().unwrap_or_default();
                reported.extend((open > 0).then_some((id, open)));
            }
            let proxies = list(&status["proxies"]);
            let vms: Vec<_> = proxies
                .iter()
                .flat_map(|proxy| list(&proxy["vms"]))
                .collect();
            let misplaced = vms.iter().filter(|vm| vm["misplaced"] != 0).count();
            ensure!(
                reported == expected && vms.len() == WORKERS && misplaced == 0,
                "reported are {reported:?}, open {expected:?}, by {vms:?}"
            );
            Ok(())
        })
        .await
    }

    async fn finish(self, members: &[Member]) -> Result<()> {
        let history = self.cluster.history();
        self.callers.expect_flawless(history, members).await?;
        let refusals = self.watchers.refusals();
        ensure!(
            refusals.is_empty(),
            "{} attempts were refused, such as {:?}",
            refusals.len(),
            refusals.first()
        );
        // Those between two rebalances, too.
        let (ended, had_to) = (self.watchers.ended_since(self.started), self.had_to_end);
        ensure!(
            ended.len() == had_to,
            "{had_to} streams had to end over the whole test, and {} did",
            ended.len()
        );
        self.cluster.expect_members_agree(members, STREAMS)?;
        self.cluster.expect_only_owners_were_asked(members)
    }
}

/// When the streams of each document ended, at each of the two proxies.
type Leaving = BTreeMap<String, BTreeMap<SocketAddr, BTreeSet<Instant>>>;

fn leaving(watchers: &Watchers, ended: &[Session]) -> Leaving {
    let mut leaving = Leaving::new();
    for session in ended {
        if let Some((at, _)) = session.ended {
            let watch = &watchers.watches()[session.watch];
            let document = leaving.entry(watch.key.clone()).or_default();
            document.entry(watch.proxy).or_default().insert(at);
        }
    }
    leaving
}

/// Of most documents the last watcher leaves soon after the first, but for what
/// one proxy is behind the other: they share the moment. (How soon, at worst,
/// is for the bench: here it depends on what else the machine does.)
fn expect_together(leaving: &Leaving) -> Result<()> {
    let mut apart = Vec::new();
    let mut behind = Vec::new();
    for proxies in leaving.values() {
        let firsts: Vec<_> = proxies.values().filter_map(BTreeSet::first).collect();
        if let [one, other] = firsts[..] {
            behind.push(signed(*one, *other));
        }
        for moments in proxies.values() {
            let first_and_last = moments.first().zip(moments.last());
            let (first, last) = first_and_last.context("nobody left")?;
            apart.push(last.saturating_duration_since(*first));
        }
    }
    ensure!(!behind.is_empty(), "no document left both proxies");
    behind.sort_by(f64::total_cmp);
    let skew = behind[behind.len() / 2];
    let beyond = behind
        .iter()
        .map(|behind| Duration::from_secs_f64((behind - skew).abs()));
    let (apart, beyond) = (most(apart), most(beyond.collect()));
    println!(
        "one proxy {:.0} ms behind the other; beyond that, watchers of a document left within {apart:?} at each and {beyond:?} over both",
        skew * 1e3
    );
    ensure!(
        apart < TOGETHER && beyond < TOGETHER,
        "watchers of one document left {apart:?} and {beyond:?} apart"
    );
    Ok(())
}

/// From one moment to another, in seconds.
fn signed(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
        - from.saturating_duration_since(to).as_secs_f64()
}

/// What nine of ten stay below.
fn most(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() * 9 / 10).copied().unwrap_or_default()
}

/// Fails unless the documents leave evenly: in each quarter of the time about
/// a quarter of them.
fn expect_spread(leaving: &Leaving) -> Result<()> {
    let of = |proxies: &BTreeMap<_, BTreeSet<Instant>>| {
        proxies.values().filter_map(BTreeSet::first).min().copied()
    };
    let mut first: Vec<_> = leaving.values().filter_map(of).collect();
    first.sort();
    let (Some(start), Some(end)) = (first.first(), first.last()) else {
        anyhow::bail!("nothing moved");
    };
    let window = end.saturating_duration_since(*start);
    let mut quarters = [0_usize; 4];
    for at in &first {
        let part = at.saturating_duration_since(*start).as_secs_f64() / window.as_secs_f64();
        quarters[((part * 4.0) as usize).min(3)] += 1;
    }
    println!(
        "{} documents left over {window:?}, by quarters {quarters:?}",
        first.len()
    );
    ensure!(
        window > Duration::from_secs(1),
        "all left within {window:?}"
    );
    let quarter = first.len() / 4;
    ensure!(
        quarters
            .iter()
            .all(|count| (quarter / 2..quarter * 2).contains(count)),
        "{quarters:?}"
    );
    Ok(())
}
