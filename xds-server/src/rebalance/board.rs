//! What others may know of the rebalance.

use std::collections::VecDeque;
use std::sync::Arc;

use sharding::FilterConfig;
use tokio::sync::watch;

use super::machine::{Past, Stage};
use super::record::{PlanSummary, Record};
use crate::snapshot::Snapshot;

/// Rebalances that are remembered after they are over.
const MAX_RECORDS: usize = 10;

/// The rebalance as it was last told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What it is doing.
    pub stage: Stage,
    /// Whether a change waits for the one under way.
    pub pending: bool,
    /// What was handed out last; absent until there was a roster.
    pub current: Option<Arc<FilterConfig>>,
    /// The snapshot of it.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Assignments before it, oldest first.
    pub past: Arc<[Past]>,
    /// The one under way.
    pub underway: Option<Arc<Record>>,
    /// The last ten that are over, newest first.
    pub last: VecDeque<Arc<Record>>,
}

impl Shown {
    /// How long proxies took to take over the last assignment, in milliseconds,
    /// but for those of a start; absent when there was none.
    #[must_use]
    pub fn usual_hold_ms(&self) -> Option<u64> {
        let mut records = self.last.iter();
        records.find(|record| !record.is_of_start())?.hold_ms
    }
}

/// Where the driver shows it and others look.
#[derive(Debug)]
pub struct Board(watch::Sender<Shown>);

impl Default for Board {
    fn default() -> Self {
        let shown = Shown {
            stage: Stage::Stable,
            pending: false,
            current: None,
            snapshot: None,
            past: Arc::new([]),
            underway: None,
            last: VecDeque::new(),
        };
        Self(watch::Sender::new(shown))
    }
}

impl Board {
    /// What is shown now.
    #[must_use]
    pub fn read(&self) -> Shown {
        self.0.borrow().clone()
    }

    /// Told of every change from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Shown> {
        self.0.subscribe()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Shown)) {
        self.0.send_modify(change);
    }

    /// A plan can take longer than its rebalance.
    pub(super) fn planned(&self, epoch: u64, plan: PlanSummary) {
        self.update(|shown| {
            let record = shown.last.iter_mut().find(|record| record.epoch == epoch);
            if let Some(record) = record {
                Arc::make_mut(record).plan = Some(plan);
            }
        });
    }

    pub(super) fn finished(&self, record: Record) {
        self.update(|shown| {
            shown.last.push_front(Arc::new(record));
            shown.last.truncate(MAX_RECORDS);
        });
    }
}
