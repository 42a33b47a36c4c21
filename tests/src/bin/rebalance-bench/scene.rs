//! One practice at work: proxies, members, open streams, and rounds of changes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::{Assignment, Policy, Roster};
use yorkies_tests::{
    ControlPlane, Member, Protocol, Session, Settings, TestEnvironment, Watch, Watchers,
    assignment, equal_weights, eventually, keys, settled,
};

use crate::Arguments;
use crate::apart::Apart;
use crate::practice::Practice;

/// A practice that has not ended all streams that moved by then never will.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(150);

const POLL: Duration = Duration::from_millis(20);

/// Between two rounds, so that the machine is at rest.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Scene {
    practice: Practice,
    members: Vec<Member>,
    control_plane: ControlPlane,
    watchers: Watchers,
}

/// What came of one change.
pub(crate) struct Round {
    /// From the change to the end of the last stream that moved, as its client
    /// saw it; `None`: not all have ended.
    pub(crate) time: Option<Duration>,
    pub(crate) moved: usize,
    pub(crate) unmoved: usize,
    /// Unmoved streams that were cut meanwhile.
    pub(crate) cut: usize,
    /// The rest is of those that drain only.
    pub(crate) steps: Option<Steps>,
}

/// Where the time of a rebalance went.
pub(crate) struct Steps {
    /// From the change of the file until the control plane knew of it.
    pub(crate) noticed: Duration,
    pub(crate) settled: Duration,
    /// From the publication until all proxies routed by it.
    pub(crate) held: Duration,
    /// From there until all proxies had reported no misplaced stream.
    pub(crate) drained: Duration,
    pub(crate) apart: Apart,
}

impl Scene {
    pub(crate) async fn start(
        env: &mut TestEnvironment,
        practice: Practice,
        arguments: &Arguments,
    ) -> Result<Self> {
        let members = env.members(4).await?;
        let settings = Settings {
            listener: false,
            more: practice.settings(),
            ..Settings::default()
        };
        let control_plane = env.control_plane(settings).await?;
        let first = Roster::new(equal_weights(&members[..3]))?;
        control_plane.members().replace(&first)?;
        let mut wanted = Vec::new();
        for node in ["envoy-0", "envoy-1"] {
            let envoy = practice.envoy(env, node, &control_plane).await?;
            let client = envoy.client(Protocol::H2c).await?;
            settled(&[&client], 0).await?;
            let proxy = envoy.address().await?;
            let documents = keys(arguments.documents);
            let each = arguments.streams / 2;
            wanted.extend((0..each).map(|number| Watch {
                key: documents[number % documents.len()].clone(),
                proxy,
                protocol: if number < each / 5 {
                    Protocol::Http1
                } else {
                    Protocol::H2c
                },
            }));
        }
        let watchers = Watchers::start_over(wanted, practice.opening()).await?;
        Ok(Self {
            practice,
            members,
            control_plane,
            watchers,
        })
    }

    /// One server more, or one less.
    pub(crate) async fn round(&self, number: usize) -> Result<Round> {
        let (from, to) = if number.is_multiple_of(2) {
            (3, 4)
        } else {
            (4, 3)
        };
        let moved = self.moved(from, to)?;
        let roster = Roster::new(equal_weights(&self.members[..to]))?;
        let known = self.record().await?.map(|record| record["epoch"].clone());
        tokio::time::sleep(PAUSE).await;
        let (start, start_ms) = (Instant::now(), unix_ms());
        self.control_plane.members().replace(&roster)?;
        let time = self.last_end(&moved, start).await;
        let steps = if self.practice.drains() {
            let record = eventually("rebalanced", async || {
                let record = self.record().await?;
                let record = record.filter(|record| Some(&record["epoch"]) != known.as_ref());
                record.context("no new record")
            })
            .await?;
            ensure!(record["outcome"] == "done", "{record:#}");
            Some(self.steps(&record, start, start_ms)?)
        } else {
            None
        };
        self.all_open().await?;
        Ok(Round {
            time,
            cut: self.cut(&moved, start),
            unmoved: self.watchers.watches().len() - moved.len(),
            moved: moved.len(),
            steps,
        })
    }

    fn steps(&self, record: &Value, start: Instant, start_ms: u64) -> Result<Steps> {
        let ms = |name: &str| {
            let ms = record[name].as_u64();
            let ms = ms.with_context(|| format!("no {name} in {record}"))?;
            anyhow::Ok(Duration::from_millis(ms))
        };
        let published = ms("started_unix_ms")?.saturating_sub(Duration::from_millis(start_ms));
        let settled = ms("settle_ms")?;
        Ok(Steps {
            noticed: published.saturating_sub(settled),
            settled,
            held: ms("hold_ms")?,
            drained: ms("drain_ms")?,
            apart: Apart::of(&self.watchers, &self.members, start),
        })
    }

    /// The last rebalance that is over.
    async fn record(&self) -> Result<Option<Value>> {
        let status = self.control_plane.status().await?;
        let is_stable = status["stage"] == "stable";
        Ok(status["last"].get(0).cloned().filter(|_| is_stable))
    }

    fn moved(&self, from: usize, to: usize) -> Result<BTreeSet<usize>> {
        let expected =
            |count: usize| assignment(Policy::default(), equal_weights(&self.members[..count]));
        let (before, after) = (expected(from)?, expected(to)?);
        let owner = |assignment: &Assignment, key: &str| -> Result<_> {
            let owner = assignment.owner(key.as_bytes()).context("no member")?;
            Ok(owner.member.address)
        };
        let mut moved = BTreeSet::new();
        for (index, watch) in self.watchers.watches().iter().enumerate() {
            if owner(&before, &watch.key)? != owner(&after, &watch.key)? {
                moved.insert(index);
            }
        }
        Ok(moved)
    }

    /// When the last of the streams that were open at `start` has ended.
    async fn last_end(&self, moved: &BTreeSet<usize>, start: Instant) -> Option<Duration> {
        let old = |session: &Session| session.opened < start && moved.contains(&session.watch);
        while start.elapsed() < GIVE_UP {
            let is_left = |session: &Session| session.ended.is_none() && old(session);
            if self.watchers.count(is_left) == 0 {
                let ended = self.watchers.ended_since(start);
                let ends = ended.iter().filter(|session| old(session));
                return ends
                    .filter_map(|session| session.ended.as_ref())
                    .map(|(at, _)| *at - start)
                    .max();
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    fn cut(&self, moved: &BTreeSet<usize>, start: Instant) -> usize {
        let ended = self.watchers.ended_since(start);
        let cut: BTreeSet<_> = ended
            .iter()
            .map(|session| session.watch)
            .filter(|watch| !moved.contains(watch))
            .collect();
        cut.len()
    }

    async fn all_open(&self) -> Result<()> {
        eventually("every stream open again", async || {
            let open = self.watchers.count(|session| session.ended.is_none());
            let all = self.watchers.watches().len();
            ensure!(open == all, "{open} of {all}");
            Ok(())
        })
        .await
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
