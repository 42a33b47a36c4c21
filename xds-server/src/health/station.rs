//! Runs the [`Judge`]: the registry, checks, sights and orders in, who serves out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sharding::Roster;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::{error, info, warn};

use super::Serving;
use super::collector::Counts;
use super::judge::{Happened, Judge};
use super::kept::Store;
use super::order::{Order, OrderRefused};
use super::probe::{place, probe};
use super::rounds::Rounds;
use super::shown::Shown;
use crate::config::Health;
use crate::fleet::Fleet;
use crate::rebalance::Board;

/// Most checks that are under way at a time: as many connections.
const MAX_AT_ONCE: usize = 512;

/// Between two looks at what proxies see: they report each second.
const LOOK: Duration = Duration::from_millis(250);

/// Between two decisions, however much happens: one is as much work as there
/// are members.
const PACE: Duration = Duration::from_millis(20);

/// An incarnation is asked for again at least this often.
const INCARNATION_EVERY: Duration = Duration::from_secs(15);

/// An order that waits for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) order: Order,
    pub(super) answer: oneshot::Sender<Result<(), OrderRefused>>,
}

/// What the station works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) judge: Judge,
    /// Without any, nothing is checked.
    pub(super) settings: Option<Arc<Health>>,
    pub(super) store: Store,
    pub(super) fleet: Arc<Fleet>,
    pub(super) board: Arc<Board>,
    pub(super) rosters: watch::Receiver<Option<Roster>>,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) serving: watch::Sender<Option<Serving>>,
    pub(super) shown: watch::Sender<Shown>,
    pub(super) counts: Arc<Counts>,
}

/// A check that is over.
#[derive(Debug)]
struct Checked {
    id: String,
    address: SocketAddr,
    started: Instant,
    result: Result<Option<String>, String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Station {
    parts: Parts,
    rounds: Rounds,
    running: JoinSet<Checked>,
    /// Rounds between two questions for an incarnation that is known.
    incarnation_rounds: u64,
    looked: Instant,
    decided: Instant,
    /// When to decide.
    due: Option<Instant>,
}

impl Station {
    pub(super) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let interval = parts
            .settings
            .as_ref()
            .map_or(LOOK, |settings| settings.interval);
        let rounds = INCARNATION_EVERY.as_millis() / interval.as_millis().max(1);
        Self {
            rounds: Rounds::new(interval),
            running: JoinSet::new(),
            incarnation_rounds: u64::try_from(rounds).unwrap_or(u64::MAX).max(1),
            looked: now,
            decided: now,
            due: None,
            parts,
        }
    }

    /// Goes on until the registry ends, or nobody wants to know who serves.
    pub(super) async fn run(mut self) {
        self.parts.rosters.mark_changed();
        self.parts
            .judge
            .seen(self.parts.fleet.sight(Instant::now()));
        loop {
            let wake = self.wake();
            tokio::select! {
                changed = self.parts.rosters.changed() => match changed {
                    Ok(()) => self.follow(),
                    Err(_) => return,
                },
                Some(checked) = self.running.join_next() => {
                    self.take(checked.ok());
                    while let Some(checked) = self.running.try_join_next() {
                        self.take(checked.ok());
                    }
                }
                Some(asked) = self.parts.asked.recv() => self.obey(asked),
                () = sleep_until(wake.into()) => {}
                () = self.parts.serving.closed() => return,
            }
            let now = Instant::now();
            self.look(now);
            self.check(now);
            if self.due.is_some_and(|due| due <= now) {
                self.decide(now);
            }
        }
    }

    fn wake(&self) -> Instant {
        let check = self
            .rounds
            .next()
            .filter(|_| self.running.len() < MAX_AT_ONCE);
        let look = self.looked.max(Instant::now()) + LOOK;
        check.into_iter().chain(self.due).fold(look, Instant::min)
    }

    /// Has it decided soon.
    fn expect_decision(&mut self) {
        let soon = self.decided + PACE;
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    fn follow(&mut self) {
        let roster = self.parts.rosters.borrow_and_update().clone();
        let Some(roster) = roster else { return };
        let (judge, now) = (&mut self.parts.judge, Instant::now());
        let current = self.parts.board.read().current;
        judge.assigned(current.and_then(|current| current.members.clone()));
        judge.listed(&roster, now);
        if self.parts.settings.is_some() {
            self.rounds.follow(judge.to_check(), now);
        }
        self.decide(now);
    }

    fn take(&mut self, checked: Option<Checked>) {
        let Some(Checked {
            id,
            address,
            started,
            result,
        }) = checked
        else {
            return;
        };
        let now = Instant::now();
        self.rounds.done(&id, started, now);
        self.parts.counts.checked(result.is_ok());
        if self.parts.judge.checked(&id, address, result, now) {
            self.expect_decision();
        }
    }

    fn obey(&mut self, asked: Asked) {
        let Asked { id, order, answer } = asked;
        if let Err(refused) = self.parts.judge.order(&id, order) {
            let _ = answer.send(Err(refused));
            return;
        }
        self.decide(Instant::now());
        let settled = self.parts.store.settled();
        tokio::spawn(async move {
            let is_saved = settled.await;
            let _ = answer.send(if is_saved {
                Ok(())
            } else {
                Err(OrderRefused::NotSaved)
            });
        });
    }

    fn look(&mut self, now: Instant) {
        if self.parts.settings.is_none() || now < self.looked + LOOK {
            return;
        }
        self.looked = now;
        let sight = self.parts.fleet.sight(now);
        if self.parts.judge.seen(sight) {
            self.expect_decision();
        }
    }

    /// Starts the checks that are due.
    fn check(&mut self, now: Instant) {
        let Some(settings) = &self.parts.settings else {
            return;
        };
        while self.running.len() < MAX_AT_ONCE
            && let Some((id, round)) = self.rounds.start(now)
        {
            let judge = &self.parts.judge;
            let Some(listed) = judge.listed_as(&id) else {
                continue;
            };
            let (address, at) = (listed.address, place(settings, listed));
            let wants = round % self.incarnation_rounds == 0 || judge.wants_incarnation(&id);
            let settings = Arc::clone(settings);
            self.running.spawn(async move {
                let result = probe(&settings, at, wants).await;
                Checked {
                    id,
                    address,
                    started: now,
                    result,
                }
            });
        }
    }

    fn decide(&mut self, now: Instant) {
        let decision = self.parts.judge.decide(now);
        (self.decided, self.due) = (now, decision.due);
        decision.happened.iter().for_each(log);
        self.parts.store.save(self.parts.judge.kept());
        self.parts.shown.send_replace(self.parts.judge.shown());
        let serving = decision.roster.map(|roster| Serving {
            roster,
            ejections: decision.ejections,
        });
        self.parts.serving.send_if_modified(|current| {
            let is_new = *current != serving;
            if is_new {
                *current = serving;
            }
            is_new
        });
    }
}

fn log(happened: &Happened) {
    match happened {
        Happened::NotYet { id, why } => {
            warn!(
                member = id,
                why, "Member does not serve yet: its check failed"
            );
        }
        Happened::Entered { id } => info!(member = id, "Member serves: its checks pass"),
        Happened::KeptOut { id } => {
            warn!(
                member = id,
                "Member stays out: it came back in the incarnation in which it had left"
            );
        }
        Happened::Ejected {
            id,
            why,
            proxies: [dead, all],
        } => {
            error!(
                member = id,
                why,
                proxies_agree = dead,
                proxies = all,
                "Member ejected"
            );
        }
        Happened::Readmitted { id, because } => info!(member = id, because, "Member readmitted"),
        Happened::HeldBack { ids } => {
            let members = ids.join(", ");
            error!(members, "Nobody is ejected: too many members fail");
        }
        Happened::NoLongerHeldBack => info!("Ejections are no longer held back"),
        Happened::KeepsLast => {
            error!("Nobody of those that are listed serves: the last roster stays");
        }
        Happened::NoLongerKeepsLast => info!("Somebody of those that are listed serves again"),
        Happened::StillDrained { id } => {
            warn!(
                member = id,
                "Member is listed anew and stays drained: undrain it if another server has its id now"
            );
        }
        Happened::Ordered { id, order } => {
            info!(member = id, order = order.name(), "Order taken");
        }
    }
}

#[cfg(test)]
mod tests;
