//! The state of a running control plane, as its disk has it.
//!
//! Whatever is handed out is saved, but a disk that hangs holds up nobody. An
//! assignment is handed out once it is saved, or after [`PATIENCE`], and saved
//! behind; a release never waits. At most one write is under way, and the next
//! one is of the newest state. Writes that take long or fail are logged, counted
//! and tried again.
//!
//! A restart may so find an older state than was handed out. That is safe:
//!
//! - No epoch is given twice. What is handed out unsaved has the time as its
//!   epoch, in milliseconds, and no later start gives one below its own time. An
//!   epoch ahead of the clock, which was set back, waits until it is saved.
//! - Nobody stays at a lost assignment. Filters ignore a lower epoch, report
//!   theirs, and are overtaken with one above it before anything is released.
//! - A lost release is made up for: the rebalance is resumed where it held.
//!
//! A file that cannot be replaced is emptied: a roster of long ago is worse than
//! none.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sharding::FilterConfig;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::metrics::Metrics;
use crate::state::{self, StateError};

/// How long an assignment waits to be saved before it is handed out. Ordinary
/// disks take a tenth of it.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// A write that takes longer is told of.
const SLOW: Duration = Duration::from_secs(1);

/// How soon a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Where the state is kept. Every method may block.
pub(super) trait Disk: fmt::Debug + Send + Sync + 'static {
    /// As [`state::read`].
    fn read(&self) -> Result<Option<FilterConfig>, StateError>;
    /// As [`state::write`].
    fn write(&self, state: &FilterConfig) -> Result<(), StateError>;
    /// As [`state::invalidate`].
    fn invalidate(&self) -> Result<(), StateError>;
}

/// The state file.
#[derive(Debug)]
pub(super) struct StateFile(pub(super) PathBuf);

impl Disk for StateFile {
    fn read(&self) -> Result<Option<FilterConfig>, StateError> {
        state::read(&self.0)
    }

    fn write(&self, state: &FilterConfig) -> Result<(), StateError> {
        state::write(&self.0, state)
    }

    fn invalidate(&self) -> Result<(), StateError> {
        state::invalidate(&self.0)
    }
}

/// What was found at a start.
pub(super) struct Found {
    /// What was handed out last.
    pub(super) last: Option<FilterConfig>,
    /// Whether there was an earlier process, as far as can be told.
    pub(super) is_return: bool,
}

/// What the disk has at a start.
pub(super) fn find(disk: &dyn Disk) -> Found {
    match disk.read() {
        Ok(last) => Found {
            is_return: last.is_some(),
            last,
        },
        Err(problem) => {
            error!(error = %problem, "State file is not usable, starting without it");
            Found {
                last: None,
                is_return: true,
            }
        }
    }
}

/// A state, and which one since the start it is.
type Numbered = (u64, Option<FilterConfig>);

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    newest: watch::Sender<Numbered>,
    /// The last one whose write has ended, well or not.
    tried: watch::Receiver<u64>,
    metrics: Metrics,
}

impl Store {
    /// A store that writes to `disk`, on a task of this runtime.
    pub(super) fn start(disk: Arc<dyn Disk>, metrics: Metrics) -> Self {
        let (newest, states) = watch::channel((0, None));
        let (sender, tried) = watch::channel(0);
        tokio::spawn(keep_saving(disk, states, sender, metrics.clone()));
        Self {
            newest,
            tried,
            metrics,
        }
    }

    /// Has that state saved in place of all before it.
    pub(super) fn save(&self, state: &FilterConfig) {
        self.newest.send_modify(|(number, newest)| {
            *number += 1;
            *newest = Some(state.clone());
            self.metrics.unsaved(true);
        });
    }

    /// Waits until the newest state is saved, or refused: then an older one is
    /// gone too. If it `may_be_lost`, for [`PATIENCE`] at most.
    pub(super) async fn settle(&mut self, may_be_lost: bool) {
        let (number, _) = *self.newest.borrow();
        let tried = self.tried.wait_for(|tried| *tried >= number);
        if !may_be_lost {
            drop(tried.await);
        } else if timeout(PATIENCE, tried).await.is_err() {
            warn!("State file is not written yet, going on without");
        }
    }
}

async fn keep_saving(
    disk: Arc<dyn Disk>,
    mut states: watch::Receiver<Numbered>,
    tried: watch::Sender<u64>,
    metrics: Metrics,
) {
    while states.changed().await.is_ok() {
        let (number, newest) = states.borrow_and_update().clone();
        let Some(state) = newest else {
            continue;
        };
        let is_saved = write(&disk, state, &metrics).await;
        metrics.saved(is_saved);
        tried.send_replace(number);
        if is_saved {
            // As long as it is borrowed there is no newer one.
            let newest = states.borrow();
            metrics.unsaved(newest.0 > number);
        } else {
            sleep(AGAIN).await;
            if states.has_changed().is_err() {
                return;
            }
            states.mark_changed();
        }
    }
}

/// Whether it was written, however long that took.
async fn write(disk: &Arc<dyn Disk>, state: FilterConfig, metrics: &Metrics) -> bool {
    let (disk, epoch) = (Arc::clone(disk), state.epoch);
    let mut writing = spawn_blocking(move || write_or_invalidate(&*disk, &state));
    let result = if let Ok(result) = timeout(SLOW, &mut writing).await {
        result
    } else {
        metrics.save_is_slow();
        warn!(epoch, "State file takes long to be written");
        let result = writing.await;
        info!(epoch, "State file is no longer being written");
        result
    };
    result.unwrap_or(false)
}

fn write_or_invalidate(disk: &dyn Disk, state: &FilterConfig) -> bool {
    let Err(problem) = disk.write(state) else {
        return true;
    };
    error!(error = %problem, "State file cannot be written");
    if let Err(problem) = disk.invalidate() {
        error!(error = %problem, "Outdated state file cannot be emptied, remove it before a restart");
    }
    false
}

#[cfg(test)]
pub(super) mod tests;
