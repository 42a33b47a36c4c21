//! Runs the [`Machine`]: rosters and the fleet in, snapshots out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sharding::{Drain, FilterConfig, Roster};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tracing::warn;

use super::board::Board;
use super::machine::{Effect, Event, Machine, Now, Settings, Stage};
use super::metrics::Metrics;
use super::store::{self, Disk, StateFile, Store};
use crate::fleet::Fleet;
use crate::health::Serving;
use crate::in_force::InForce;
use crate::resources;
use crate::snapshot::Snapshot;

mod log;
mod planning;
mod unreachable;

use planning::Planning;
use unreachable::Unreachable;

/// How long a restarted control plane waits for its registry before it serves
/// the last good roster from its state file.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(1);

/// While a rebalance is under way it is looked at this often even when nothing
/// is told: proxies and VMs fall silent without a word.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// And this often while there is none: proxies may have a higher epoch than the
/// state file.
const LOOK_IDLE: Duration = Duration::from_secs(1);

/// After a look it does not look again for what proxies tell before a multiple of
/// the time that it took: thousands of them accept a change one by one, and are
/// sent it by the same processors.
const PAUSE: u32 = 4;

/// What the driver works with.
#[derive(Debug)]
pub struct Parts {
    /// What it goes by, which may become another one while it runs.
    pub in_force: watch::Receiver<Arc<InForce>>,
    /// What is known of the proxies.
    pub fleet: Arc<Fleet>,
    /// Where it shows what it does.
    pub board: Arc<Board>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Who serves; `None` before the first roster.
    pub serving: watch::Receiver<Option<Serving>>,
}

/// See the module.
#[derive(Debug)]
pub struct Driver {
    parts: Parts,
    /// What the machine was told last, and all is made from that is handed out.
    used: Arc<InForce>,
    machine: Machine,
    store: Store,
    snapshots: watch::Sender<Arc<Snapshot>>,
    planning: Planning,
    unreachable: Unreachable,
    /// When it may look again for what proxies tell.
    rested: Instant,
    /// Ejections that are heard of.
    ejections: u64,
}

impl Driver {
    /// Takes up what the state file has, if it has anything. Needs a runtime.
    #[must_use]
    pub fn restore(parts: Parts) -> Self {
        let path = parts.in_force.borrow().config.state_file.clone();
        let disk = StateFile(path);
        Self::restore_from(Arc::new(disk), parts)
    }

    fn restore_from(disk: Arc<dyn Disk>, mut parts: Parts) -> Self {
        let used = Arc::clone(&parts.in_force.borrow_and_update());
        let found = store::find(&*disk);
        let store = Store::start(disk, parts.metrics.clone());
        let machine = Machine::new(
            Settings::from(&used.config),
            used.config.filter_config(0),
            found.last,
            found.is_return,
            now(),
        );
        Self {
            parts,
            used,
            machine,
            store,
            snapshots: watch::Sender::new(Arc::default()),
            planning: Planning::default(),
            unreachable: Unreachable::default(),
            rested: Instant::now(),
            ejections: 0,
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
                warn!("Nobody is known to serve, the last good roster stays");
                roster
            }
            (Err(_), None) => {
                warn!("Nobody is known to serve, proxies wait for the first roster");
                self.roster().await
            }
        };
        if let Some(last) = last {
            self.hand_out(&last);
        }
        let urgent = false;
        self.step(Event::Roster { roster, urgent }).await;
        self.snapshots.subscribe()
    }

    /// Goes on until the registry ends.
    pub async fn run(mut self) {
        loop {
            let is_active = matches!(self.machine.stage(), Stage::Holding | Stage::Draining);
            let deadline = self.machine.deadline();
            let event = tokio::select! {
                changed = self.parts.serving.changed() => match changed {
                    Ok(()) => self.new_roster(),
                    Err(_) => return,
                },
                () = changed(&mut self.parts.in_force) => Some(self.new_settings()),
                plan = self.planning.next() => plan,
                () = changed_after(&self.parts.fleet, self.rested), if is_active => Some(Event::Look),
                () = at(deadline), if deadline.is_some() => Some(Event::Look),
                () = sleep(if is_active { LOOK_AGAIN } else { LOOK_IDLE }) => Some(Event::Look),
            };
            if let Some(event) = event {
                self.step(event).await;
            }
        }
    }

    async fn roster(&mut self) -> Roster {
        let serving = &mut self.parts.serving;
        loop {
            if let Some(serving) = serving.borrow_and_update().clone() {
                self.ejections = serving.ejections;
                return serving.roster;
            }
            if serving.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn new_roster(&mut self) -> Option<Event> {
        let serving = self.parts.serving.borrow_and_update().clone()?;
        let Serving { roster, ejections } = serving;
        let urgent = ejections > self.ejections;
        self.ejections = ejections;
        Some(Event::Roster { roster, urgent })
    }

    fn new_settings(&mut self) -> Event {
        self.used = Arc::clone(&self.parts.in_force.borrow_and_update());
        let config = &self.used.config;
        Event::Settings {
            settings: Settings::from(config),
            template: Box::new(config.filter_config(0)),
        }
    }

    async fn step(&mut self, event: Event) {
        if let Event::Planned { epoch, plan } = event {
            self.parts.metrics.planned(&plan);
            self.parts.board.planned(epoch, plan);
        }
        // Proxies are told more than filters are.
        let mut is_stale = matches!(event, Event::Settings { .. });
        let mut event = Some(event);
        loop {
            let now = now();
            let view = {
                let snapshot = self.snapshots.borrow();
                self.parts.fleet.view(&snapshot, now.instant)
            };
            let event = event.take().unwrap_or(Event::Look);
            let effects = self.machine.step(event, &view, now);
            let publishes = |effect: &Effect| matches!(effect, Effect::Publish(_));
            if std::mem::take(&mut is_stale)
                && !effects.iter().any(publishes)
                && let Some(current) = self.machine.current()
            {
                self.hand_out(current);
            }
            if effects.is_empty() {
                if let Some(current) = self.machine.current() {
                    self.unreachable.look(&view, current.epoch);
                }
                let underway = self.machine.underway(&view, now.instant);
                self.parts.board.update(|shown| {
                    shown.stage = self.machine.stage();
                    shown.pending = self.machine.has_pending();
                    shown.underway = underway.map(Arc::new);
                });
                self.rested = Instant::now() + now.instant.elapsed() * PAUSE;
                return;
            }
            for effect in effects {
                self.apply(effect).await;
            }
        }
    }

    async fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(config) => {
                log::publication(&config);
                self.store.save(&config);
                if config.drain == Drain::Hold {
                    let is_time = config.epoch <= now().unix_ms;
                    self.store.settle(is_time).await;
                }
                self.hand_out(&config);
            }
            // That of an earlier rebalance is of no use any more.
            Effect::Plan => {
                let open = self.parts.fleet.open_by_member(Instant::now());
                let usual = self.parts.board.read().usual_hold_ms();
                let hold_ms = usual.unwrap_or_else(|| self.machine.settings().ack_wait_ms());
                self.planning = Planning::start(&self.machine, open, hold_ms);
            }
            Effect::Finished(record) => {
                log::end(&record);
                self.parts.metrics.finished(&record);
                self.parts.board.finished(*record);
            }
        }
    }

    fn hand_out(&self, config: &FilterConfig) {
        let Parts { fleet, board, .. } = &self.parts;
        let InForce {
            config: settings,
            module,
        } = &*self.used;
        let snapshot = Arc::new(resources::snapshot(settings, module, config));
        fleet.published(&snapshot, Instant::now());
        self.snapshots.send_replace(Arc::clone(&snapshot));
        board.update(|shown| {
            shown.current = Some(Arc::new(config.clone()));
            shown.snapshot = Some(snapshot);
            shown.past = self.machine.past().cloned().collect();
        });
    }
}

/// Completes when there is another one, or never.
async fn changed(in_force: &mut watch::Receiver<Arc<InForce>>) {
    if in_force.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn changed_after(fleet: &Fleet, rested: Instant) {
    // A shorter rest is none: timers count milliseconds.
    if rested.saturating_duration_since(Instant::now()) > Duration::from_millis(1) {
        sleep_until(rested.into()).await;
    }
    fleet.changed().await;
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
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
