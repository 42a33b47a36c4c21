//! An Envoy that is told by files, and what all these tests ask of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::{Assignment, Drain, FilterConfig, Policy, Report, Roster};
use yorkies_tests::{
    Client, Envoy, Files, Member, Protocol, ReportSink, Session, TestEnvironment, Watch, Watchers,
    equal_weights, eventually, filter_module, settled,
};

pub(crate) const WATCH: &str = "/yorkie.v1.YorkieService/Watch";
pub(crate) const PUSH: &str = "/yorkie.v1.YorkieService/PushPullChanges";
pub(crate) const AT_ONCE: Drain = Drain::Release { window_ms: 0 };

/// Long enough for the filter to look at its streams once more.
pub(crate) const LOOK: Duration = Duration::from_millis(2_200);

/// An Envoy with two workers.
pub(crate) struct Scene {
    pub(crate) files: Files,
    pub(crate) envoy: Envoy,
    pub(crate) reports: ReportSink,
    pub(crate) clients: [Client; 2],
    pub(crate) epoch: u64,
    /// What every assignment has in common.
    pub(crate) common: FilterConfig,
}

impl Scene {
    /// One whose filter knows these members.
    pub(crate) async fn start(env: &mut TestEnvironment, members: &[Member]) -> Result<Self> {
        Self::start_with(env, members, &filter_module()?, |_| Ok(())).await
    }

    /// The same with that module, and with another bootstrap than usual.
    pub(crate) async fn start_with(
        env: &mut TestEnvironment,
        members: &[Member],
        module: &Path,
        change: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<Self> {
        let files = Files::new(env.folder(), module)?;
        let reports = ReportSink::start().await?;
        let roster = Roster::new(equal_weights(members))?;
        let common = Files::config(0);
        files.set_members(&roster)?;
        files.set_filter(&config(&common, 1, &roster, AT_ONCE))?;
        let mut bootstrap = serde_json::from_str(&files.bootstrap("envoy-0", reports.address()))?;
        change(&mut bootstrap)?;
        let envoy = env.envoy_of_bootstrap(&bootstrap.to_string()).await?;
        let clients = [
            envoy.client(Protocol::H2c).await?,
            envoy.client(Protocol::Http1).await?,
        ];
        let this = Self {
            files,
            envoy,
            reports,
            clients,
            epoch: 1,
            common,
        };
        this.settle().await?;
        Ok(this)
    }

    /// Waits until every worker knows the epoch.
    pub(crate) async fn settle(&self) -> Result<()> {
        let clients: Vec<_> = self.clients.iter().collect();
        settled(&clients, self.epoch - 1).await.map(drop)
    }

    /// Gives Envoy other members, and waits until they are on their way to the
    /// workers, before the filter is told.
    pub(crate) async fn members(&self, roster: &Roster) -> Result<()> {
        let updates = async || self.stat("cluster.yorkie.update_success").await;
        let before = updates().await?;
        self.files.set_members(roster)?;
        eventually("updated", async || {
            ensure!(updates().await? > before, "no update of the members");
            anyhow::Ok(())
        })
        .await
    }

    /// Tells the filter of a new epoch.
    pub(crate) async fn assign(&mut self, roster: &Roster, drain: Drain) -> Result<()> {
        self.epoch += 1;
        let config = config(&self.common, self.epoch, roster, drain);
        self.files.set_filter(&config)?;
        self.settle().await
    }

    /// Allows it to drain.
    pub(crate) fn release(&self, roster: &Roster, window_ms: u64) -> Result<Instant> {
        let now = Instant::now();
        let release = Drain::Release { window_ms };
        let config = config(&self.common, self.epoch, roster, release);
        self.files.set_filter(&config)?;
        Ok(now)
    }

    pub(crate) async fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.envoy.admin()?.stats().await?;
        stats.get(name).copied().with_context(|| name.to_owned())
    }

    pub(crate) async fn filter_stat(&self, name: &str) -> Result<u64> {
        self.stat(&format!("wasmcustom.yorkies.{name}")).await
    }

    /// How many VMs Envoy keeps: one for each worker and each other thread that
    /// has the filter, for each module.
    pub(crate) async fn vms(&self) -> Result<u64> {
        self.stat("wasm.envoy.wasm.runtime.v8.active").await
    }

    pub(crate) async fn expect_stat(&self, name: &str, expected: u64) -> Result<()> {
        eventually("as expected", async || {
            let found = self.filter_stat(name).await?;
            ensure!(found == expected, "{name} is {found}, not {expected}");
            Ok(())
        })
        .await
    }

    /// Watches these documents, each over both protocols.
    pub(crate) async fn watch(&self, documents: &[String]) -> Result<Watchers> {
        let proxy = self.envoy.address().await?;
        Watchers::start(watches(proxy, documents).collect()).await
    }

    /// The last report of each VM.
    pub(crate) fn last_reports(&self) -> Vec<Report> {
        let all = self.reports_in_order().into_iter();
        let last: BTreeMap<_, _> = all.map(|report| (report.vm, report)).collect();
        last.into_values().collect()
    }

    /// All reports in the order in which each VM sent its own: on the way one may
    /// overtake another.
    pub(crate) fn reports_in_order(&self) -> Vec<Report> {
        let all = self.reports.reports().into_iter();
        let mut all: Vec<_> = all.map(|(_, report)| report).collect();
        all.sort_by_key(|report| report.sequence);
        all
    }
}

/// Each document over both protocols, through that listener.
pub(crate) fn watches(proxy: SocketAddr, documents: &[String]) -> impl Iterator<Item = Watch> {
    let watches = [Protocol::H2c, Protocol::Http1].map(|protocol| {
        documents.iter().map(move |key| Watch {
            key: key.clone(),
            proxy,
            protocol,
        })
    });
    watches.into_iter().flatten()
}

pub(crate) fn config(
    common: &FilterConfig,
    epoch: u64,
    roster: &Roster,
    drain: Drain,
) -> FilterConfig {
    FilterConfig {
        epoch,
        members: Some(roster.clone()),
        drain,
        ..common.clone()
    }
}

/// A module that does the same and is another to Envoy.
pub(crate) fn other_module(env: &TestEnvironment) -> Result<PathBuf> {
    let other = env.folder().join("other.wasm");
    let mut wasm = fs::read(filter_module()?)?;
    // A custom section: its number, its length, its name's length, its name.
    wasm.extend(b"\0\x06\x05other");
    fs::write(&other, wasm)?;
    Ok(other)
}

pub(crate) fn assignment(roster: &Roster) -> Assignment {
    Assignment::new(0, Policy::default(), roster.clone())
}

/// The watches whose key has another owner, or whose owner another address.
pub(crate) fn moved(watchers: &Watchers, before: &Roster, after: &Roster) -> BTreeSet<usize> {
    let [before, after] = [before, after].map(assignment);
    let address = |assignment: &Assignment, key: &str| {
        let owner = assignment.owner(key.as_bytes());
        owner.map(|owner| owner.member.address)
    };
    let all = watchers.watches().iter().enumerate();
    let moved = all.filter(|(_, watch)| {
        let key = watch.key.as_str();
        address(&before, key) != address(&after, key)
    });
    moved.map(|(index, _)| index).collect()
}

/// The watches of sessions, which must be of different ones.
pub(crate) fn watches_of(sessions: &[Session]) -> Result<BTreeSet<usize>> {
    let watches: BTreeSet<_> = sessions.iter().map(|session| session.watch).collect();
    ensure!(watches.len() == sessions.len(), "one ended twice");
    Ok(watches)
}

/// Waits until exactly that many have ended since, and tells how long the last
/// took.
pub(crate) async fn ended(watchers: &Watchers, since: Instant, count: usize) -> Result<Duration> {
    eventually("ended", async || {
        let sessions = watchers.ended_since(since);
        ensure!(sessions.len() >= count, "{} of {count}", sessions.len());
        Ok(())
    })
    .await?;
    let ended = watchers.ended_since(since).into_iter();
    let last = ended.filter_map(|session| Some(session.ended?.0)).max();
    Ok(last.unwrap_or(since) - since)
}

/// Waits until all that had to end are open again.
pub(crate) async fn all_open(watchers: &Watchers) -> Result<()> {
    eventually("open again", async || {
        let (open, all) = (watchers.open().len(), watchers.watches().len());
        ensure!(open == all, "{open} of {all} are open");
        Ok(())
    })
    .await
}
