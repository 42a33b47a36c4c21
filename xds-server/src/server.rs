//! The running control plane: registry in, assignments out.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sharding::{FilterConfig, Roster};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::module::Module;
use crate::snapshot::Snapshot;
use crate::{ads, checks, rebalance, registry, resources, state};

/// How long a restarted control plane waits for its registry before it serves
/// the last good roster from its state file.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(1);

/// How soon a state file that could not be written is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(2);

/// Serves proxies until `shutdown` ends.
///
/// # Errors
/// When the address cannot be listened on, the module is not usable, or the
/// server breaks.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let module = checks::files(&config)?;
    let listener = TcpListener::bind(config.xds.listen)
        .await
        .with_context(|| format!("xds.listen {}: cannot be listened on", config.xds.listen))?;
    let address = listener.local_addr()?;
    info!(%address, version = env!("CARGO_PKG_VERSION"), "xDS server listening");

    let (roster_sender, rosters) = watch::channel(None);
    tokio::spawn(registry::file::watch(
        config.registry.file.clone(),
        roster_sender,
    ));
    tokio::pin!(shutdown);
    let mut assigner = Assigner::restore(config, module, rosters);
    let snapshots = tokio::select! {
        first = assigner.first() => watch::Sender::new(first),
        () = &mut shutdown => return Ok(()),
    };
    let serving = ads::serve(
        listener,
        snapshots.subscribe(),
        Arc::new(ads::LogOnly),
        shutdown,
    );
    tokio::select! {
        served = serving => Ok(served?),
        () = assigner.follow(&snapshots) => anyhow::bail!("the registry's watcher ended"),
    }
}

/// Turns rosters into assignments, one after another.
struct Assigner {
    config: Config,
    module: Module,
    last: Option<FilterConfig>,
    /// Whether the state file still has to catch up with `last`.
    unsaved: bool,
    rosters: watch::Receiver<Option<Roster>>,
}

impl Assigner {
    fn restore(config: Config, module: Module, rosters: watch::Receiver<Option<Roster>>) -> Self {
        let last = state::read(&config.state_file).unwrap_or_else(|problem| {
            error!(error = %problem, "State file is not usable, starting without it");
            None
        });
        Self {
            config,
            module,
            last,
            unsaved: false,
            rosters,
        }
    }

    /// The first snapshot: of the registry's roster, or of the last good one
    /// when the registry has nothing to say; waits while there is neither.
    async fn first(&mut self) -> Arc<Snapshot> {
        let last_roster = self.last.as_ref().and_then(|last| last.members.clone());
        let found = tokio::time::timeout(REGISTRY_PATIENCE, self.roster()).await;
        let roster = match (found, last_roster) {
            (Ok(roster), _) => roster,
            (Err(_), Some(roster)) => {
                warn!("Registry has no roster, serving the last good one");
                roster
            }
            (Err(_), None) => {
                warn!("Registry has no roster, proxies wait for the first one");
                self.roster().await
            }
        };
        match self.assign(roster) {
            Some(snapshot) => snapshot,
            None => self.snapshot(),
        }
    }

    /// Publishes a snapshot for each further roster; ends with the registry.
    async fn follow(&mut self, snapshots: &watch::Sender<Arc<Snapshot>>) {
        loop {
            tokio::select! {
                changed = self.rosters.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(SAVE_AGAIN), if self.unsaved => {
                    self.save();
                    continue;
                }
            }
            let roster = self.rosters.borrow_and_update().clone();
            if let Some(snapshot) = roster.and_then(|roster| self.assign(roster)) {
                snapshots.send_replace(snapshot);
            }
        }
    }

    async fn roster(&mut self) -> Roster {
        loop {
            if let Some(roster) = self.rosters.borrow_and_update().clone() {
                return roster;
            }
            if self.rosters.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn assign(&mut self, roster: Roster) -> Option<Arc<Snapshot>> {
        let template = self.config.filter_config(0);
        let last = self.last.as_ref();
        if last.is_some_and(|last| rebalance::same_but_drain(last, &template, &roster)) {
            return None;
        }
        let next = rebalance::next(last, roster, &template, unix_ms());
        info!(
            epoch = next.epoch,
            members = next.members.as_ref().map_or(0, |roster| roster.members().len()),
            policy = %next.policy,
            "Assignment changed"
        );
        self.last = Some(next);
        // Before it is handed out: what a proxy has seen is never forgotten.
        self.save();
        Some(self.snapshot())
    }

    /// Writes the state file. A full disk does not stop routing; but an older
    /// state must not be left for a restart, which would take its epoch for the
    /// last one.
    fn save(&mut self) {
        let Some(last) = &self.last else { return };
        let path = &self.config.state_file;
        let written = state::write(path, last);
        self.unsaved = written.is_err();
        if let Err(problem) = written {
            error!(error = %problem, "State file cannot be written");
            if let Err(problem) = state::remove(path) {
                error!(error = %problem, "Outdated state file cannot be removed, remove it before a restart");
            }
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = self
            .last
            .as_ref()
            .map(|last| resources::snapshot(&self.config, &self.module, last));
        Arc::new(snapshot.unwrap_or_default())
    }
}

fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
