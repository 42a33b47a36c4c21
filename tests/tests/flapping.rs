//! Servers that come and go faster than a rebalance takes, in all its phases.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use sharding::{Assignment, Member as Entry, Roster};
use yorkies_tests::{
    Cluster, Mode, Session, Settings, TestEnvironment, Watchers, equal_weights, keys,
};

const SEQUENCES: u64 = 100;

/// Clusters that flap at once.
const AT_ONCE: u64 = 4;

const STREAMS: usize = 160;
const DOCUMENTS: usize = 40;
const MEMBERS: usize = 5;

/// Longest pause between two changes: longer than a whole rebalance takes.
const LONGEST_PAUSE_MS: u64 = 900;

/// Every other pause ends while a rebalance is most likely under way.
const SHORT_PAUSE_MS: u64 = 350;

#[test]
fn whatever_flaps_it_converges_and_ends_no_stream_without_need() {
    // Most of the time they wait.
    let stages = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for part in 0..AT_ONCE {
            let seeds = part * SEQUENCES / AT_ONCE..(part + 1) * SEQUENCES / AT_ONCE;
            scope.spawn(|| flap_all(seeds, &stages));
        }
    });
    let stages = stages.into_inner().expect("no part panicked");
    let all = ["draining", "holding", "settling", "stable"];
    assert!(stages.iter().eq(all), "changes came only in {stages:?}");
}

/// Adds to `stages` those in which a change came.
fn flap_all(seeds: Range<u64>, stages: &Mutex<BTreeSet<String>>) {
    TestEnvironment::run(async |env| {
        let members = env.members(MEMBERS).await?;
        let settings = Settings {
            more: "rebalance: { settle: 20ms, settle_max: 100ms }\n",
            ..Settings::default()
        };
        let all = equal_weights(&members);
        let mut cluster = Cluster::start(env, settings, &Mode::ALL, all[..3].to_vec()).await?;
        let watchers = cluster.watches(&keys(DOCUMENTS), STREAMS).await?;
        let watchers = Watchers::start(watchers).await?;
        for seed in seeds {
            let sequence = flap(&mut cluster, &watchers, &all, seed).await;
            let hit = sequence.with_context(|| format!("seed {seed}"))?;
            println!("seed {seed}: changes while {}", hit.join(", "));
            stages.lock().expect("no part panicked").extend(hit);
        }
        cluster.expect_members_agree(&members, STREAMS)
    });
}

/// Adds, removes and adds, and expects everything to be as the last roster
/// says. Returns the stages in which the changes came.
async fn flap(
    cluster: &mut Cluster,
    watchers: &Watchers,
    all: &[Entry],
    seed: u64,
) -> Result<Vec<String>> {
    let mut random = Rng::with_seed(seed);
    let start = Instant::now();
    let epoch = cluster.epoch();
    let before = Roster::new(cluster.control_plane.entries().to_vec())?;
    let mut stages = Vec::new();
    for _ in 0..3 {
        let status = cluster.control_plane.status().await?;
        stages.extend(status["stage"].as_str().map(String::from));
        cluster.edit(some_of(all, &mut random))?;
        let longest = if random.bool() {
            SHORT_PAUSE_MS
        } else {
            LONGEST_PAUSE_MS
        };
        let pause = random.u64(0..longest);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    if Roster::new(cluster.control_plane.entries().to_vec())? == before {
        // So that there is something to wait for.
        let is_all = before.members().len() == all.len();
        cluster.edit(if is_all { &all[..2] } else { all }.to_vec())?;
    }
    cluster.rebalanced().await?;
    cluster.expect_placed(watchers).await?;
    ensure!(cluster.epoch() > epoch, "the epoch went back");
    let published = cluster.control_plane.published().await?;
    let sessions = watchers.sessions();
    for session in watchers.ended_since(start) {
        let is_next =
            |other: &&Session| other.watch == session.watch && other.opened > session.opened;
        let next = sessions
            .iter()
            .filter(is_next)
            .min_by_key(|next| next.opened);
        let next = next.with_context(|| format!("{session:?} did not come back"))?;
        expect_need(&session, next.epoch, watchers, &published)?;
    }
    Ok(stages)
}

fn some_of(all: &[Entry], random: &mut Rng) -> Vec<Entry> {
    let mut some = all.to_vec();
    random.shuffle(&mut some);
    some.truncate(random.usize(2..=all.len()));
    some
}

/// A stream may end only if, under an assignment that was published after the
/// one it was opened under, and not after the one it came back under, somebody
/// else owned its document.
fn expect_need(
    session: &Session,
    next_epoch: u64,
    watchers: &Watchers,
    published: &BTreeMap<u64, Assignment>,
) -> Result<()> {
    let key = &watchers.watches()[session.watch].key;
    let is_reason = |assignment: &Assignment| {
        let owner = assignment.owner(key.as_bytes());
        owner.is_some_and(|owner| owner.member.address != session.address)
    };
    ensure!(
        next_epoch > session.epoch,
        "{key}: {session:?} ended under its own epoch"
    );
    let mut later = published.range(session.epoch + 1..=next_epoch);
    ensure!(
        later.any(|(_, assignment)| is_reason(assignment)),
        "{key} never moved, but {session:?} ended; assignments of {:?}",
        published.keys()
    );
    Ok(())
}
