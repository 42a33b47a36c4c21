//! Runs the [`Machine`]: rosters and the fleet in, snapshots out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sharding::{Assignment, Drain, FilterConfig, Roster};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};
use tracing::{debug, info, warn};

use super::board::Board;
use super::machine::{Effect, Event, Machine, Now, Past, Settings, Stage};
use super::metrics::Metrics;
use super::plan::{Plan, returning};
use super::record::{Outcome, PlanSummary, Record};
use super::store::Store;
use super::view::Behind;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::module::Module;
use crate::resources;
use crate::snapshot::Snapshot;

/// How long a restarted control plane waits for its registry before it serves
/// the last good roster from its state file.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(1);

/// While a rebalance is under way it is looked at this often even when nothing
/// is told: proxies and VMs fall silent without a word.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Proxies that a log line names.
const MAX_NAMED: usize = 20;

/// What the driver works with.
#[derive(Debug)]
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The filter's module.
    pub module: Module,
    /// What is known of the proxies.
    pub fleet: Arc<Fleet>,
    /// Where it shows what it does.
    pub board: Arc<Board>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Rosters of the registry; `None` before the first one.
    pub rosters: watch::Receiver<Option<Roster>>,
}

/// See the module.
#[derive(Debug)]
pub struct Driver {
    parts: Parts,
    machine: Machine,
    store: Store,
    snapshots: watch::Sender<Arc<Snapshot>>,
    planning: Option<JoinHandle<(u64, PlanSummary)>>,
}

impl Driver {
    /// Takes up what the state file has, if it has anything.
    #[must_use]
    pub fn restore(parts: Parts) -> Self {
        let store = Store::new(parts.config.state_file.clone());
        let found = store.find();
        let machine = Machine::new(
            Settings::from(&parts.config),
            parts.config.filter_config(0),
            found.last,
            found.is_return,
            now(),
        );
        Self {
            parts,
            machine,
            store,
            snapshots: watch::Sender::new(Arc::default()),
            planning: None,
        }
    }

    /// Waits for the first roster, or takes the last good one when the registry
    /// has nothing to say, and returns where snapshots come from.
    pub async fn start(&mut self) -> watch::Receiver<Arc<Snapshot>> {
        let last = self.machine.current().cloned();
        let last_roster = last.as_ref().and_then(|last| last.members.clone());
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
        if let Some(last) = last {
            self.hand_out(&last);
        }
        let urgent = false;
        self.step(Event::Roster { roster, urgent });
        self.snapshots.subscribe()
    }

    /// Goes on until the registry ends.
    pub async fn run(mut self) {
        loop {
            let is_active = matches!(self.machine.stage(), Stage::Holding | Stage::Draining);
            let (deadline, save_at) = (self.machine.deadline(), self.store.again_at());
            let event = tokio::select! {
                changed = self.parts.rosters.changed() => match changed {
                    Ok(()) => self.new_roster(),
                    Err(_) => return,
                },
                () = at(save_at), if save_at.is_some() => {
                    if let Some(current) = self.machine.current() {
                        self.store.save(current);
                    }
                    None
                }
                plan = planned(&mut self.planning) => plan,
                () = self.parts.fleet.changed(), if is_active => Some(Event::Look),
                () = at(deadline), if deadline.is_some() => Some(Event::Look),
                () = sleep(LOOK_AGAIN), if is_active => Some(Event::Look),
            };
            if let Some(event) = event {
                self.step(event);
            }
        }
    }

    async fn roster(&mut self) -> Roster {
        let rosters = &mut self.parts.rosters;
        loop {
            if let Some(roster) = rosters.borrow_and_update().clone() {
                return roster;
            }
            if rosters.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn new_roster(&mut self) -> Option<Event> {
        let roster = self.parts.rosters.borrow_and_update().clone()?;
        let urgent = false;
        Some(Event::Roster { roster, urgent })
    }

    fn step(&mut self, event: Event) {
        if let Event::Planned { epoch, plan } = event {
            self.parts.metrics.planned(&plan);
            self.parts.board.planned(epoch, plan);
        }
        let mut event = Some(event);
        loop {
            let now = now();
            let view = {
                let snapshot = self.snapshots.borrow();
                self.parts.fleet.view(&snapshot, now.instant)
            };
            let event = event.take().unwrap_or(Event::Look);
            let effects = self.machine.step(event, &view, now);
            if effects.is_empty() {
                let underway = self.machine.underway(&view, now.instant);
                self.parts.board.update(|shown| {
                    shown.stage = self.machine.stage();
                    shown.pending = self.machine.has_pending();
                    shown.underway = underway.map(Arc::new);
                });
                return;
            }
            for effect in effects {
                self.apply(effect);
            }
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(config) => {
                log_publication(&config);
                // Before it is handed out: what a proxy has seen is never forgotten.
                self.store.save(&config);
                self.hand_out(&config);
            }
            Effect::Plan => self.plan(),
            Effect::Finished(record) => {
                log_end(&record);
                self.parts.metrics.finished(&record);
                self.parts.board.finished(*record);
            }
        }
    }

    fn hand_out(&self, config: &FilterConfig) {
        let Parts {
            config: settings,
            module,
            board,
            ..
        } = &self.parts;
        let snapshot = Arc::new(resources::snapshot(settings, module, config));
        self.snapshots.send_replace(Arc::clone(&snapshot));
        board.update(|shown| {
            shown.current = Some(Arc::new(config.clone()));
            shown.snapshot = Some(snapshot);
            shown.past = self.machine.past().cloned().collect();
        });
    }

    /// Computes what moves, beside everything else: large tables take a while.
    fn plan(&mut self) {
        let past: Vec<Past> = self.machine.past().cloned().collect();
        let (Some(current), Some(before)) = (self.machine.current(), past.last().cloned()) else {
            return;
        };
        let Some(after) = current.assignment() else {
            return;
        };
        let open = self.parts.fleet.open_by_member(Instant::now());
        let compute = move || {
            let before = Assignment::new(0, before.policy, before.members);
            (after.epoch(), summary(&before, &after, &past, &open))
        };
        // The plan of an earlier rebalance is of no use any more.
        self.planning = Some(tokio::task::spawn_blocking(compute));
    }
}

fn summary(
    before: &Assignment,
    after: &Assignment,
    past: &[Past],
    open: &BTreeMap<String, u64>,
) -> PlanSummary {
    let plan = Plan::between(before, after);
    let returning = returning(before, after, past);
    PlanSummary {
        moved: plan.moved,
        ideal: plan.ideal,
        streams: plan.streams(open, None, 0).ending,
        returning: returning.iter().map(|returning| returning.share).sum(),
    }
}

/// The plan that is being computed, once it is there.
async fn planned(planning: &mut Option<JoinHandle<(u64, PlanSummary)>>) -> Option<Event> {
    let Some(task) = planning else {
        return std::future::pending().await;
    };
    let result = task.await;
    *planning = None;
    let (epoch, plan) = result.ok()?;
    Some(Event::Planned { epoch, plan })
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

fn log_publication(config: &FilterConfig) {
    let epoch = config.epoch;
    match config.drain {
        Drain::Hold => info!(
            epoch,
            members = config.members.as_ref().map_or(0, |roster| roster.members().len()),
            policy = %config.policy,
            "Assignment changed"
        ),
        Drain::Release { window_ms } => info!(epoch, window_ms, "Drain released"),
    }
}

fn log_end(record: &Record) {
    let changes: Vec<String> = record.changes.iter().map(ToString::to_string).collect();
    let Record {
        epoch,
        drained,
        settle_ms,
        hold_ms,
        drain_ms,
        ..
    } = record;
    let outcome = record.outcome.map(Outcome::name);
    info!(
        epoch,
        outcome,
        changes = changes.join(", "),
        drained,
        settle_ms,
        hold_ms,
        drain_ms,
        "Rebalance ended"
    );
    if !record.left_behind.is_empty() {
        warn!(
            epoch,
            proxies = names(&record.left_behind),
            "Proxies left behind"
        );
    }
    match record.outcome {
        Some(Outcome::Incomplete) => warn!(
            epoch,
            proxies = names(&record.missing),
            "Proxies may still have misplaced streams"
        ),
        _ if !record.missing.is_empty() => {
            debug!(
                epoch,
                proxies = names(&record.missing),
                "Proxies are missing"
            );
        }
        _ => {}
    }
}

fn names(behind: &[Behind]) -> String {
    let mut names: Vec<String> = behind
        .iter()
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect();
    if behind.len() > MAX_NAMED {
        names.push(format!("and {} more", behind.len() - MAX_NAMED));
    }
    names.join(", ")
}

fn now() -> Now {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        instant: Instant::now(),
        unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests;
