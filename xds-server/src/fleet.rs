//! What is known of the proxies: who is connected and has accepted what, and
//! what the VMs in them report of their streams.
//!
//! Fed by the xDS streams (a [`ProxyObserver`]) and by the
//! [reports](crate::reports); asked by the rebalance and the admin interface.
//! Proxies are forgotten when their stream ends. A VM is forgotten when its own
//! reports are overdue: for [`SILENCE`], or for a little more than their longest
//! pause once its node has no stream any more; or when a new process of its node
//! asks for its first filter. Other VMs of the node make no difference. All of it
//! is bounded, whatever proxies send.
//!
//! [`ProxyObserver`]: crate::ads::ProxyObserver

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sharding::Report;
use tokio::sync::Notify;
use tracing::{error, info};

use crate::ads::{Mode, StreamId};
use crate::rebalance::{ProxyView, View};
use crate::snapshot::{ResourceType, Snapshot};

mod collector;
mod kept;
mod observer;
mod proxy;
mod sight;
mod status;
mod traffic;
mod vms;

pub use collector::register;
pub use kept::Kept;
use proxy::ProxyState;
pub use sight::Sight;
pub use status::StreamKept;
use traffic::Traffic;
pub use vms::{ReportRefused, SILENCE};
use vms::{Taken, Vms};

/// See the module. Methods lock for a moment and never wait.
#[derive(Debug, Default)]
pub struct Fleet {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    proxies: BTreeMap<StreamId, ProxyState>,
    vms: Vms,
    traffic: Traffic,
    /// The newest snapshot, and since when.
    published: Option<(Arc<Snapshot>, Instant)>,
}

/// Numbers over all proxies and VMs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connected proxies, by protocol variant.
    pub connected: BTreeMap<&'static str, u64>,
    /// Those that have asked for a type, by type and protocol variant.
    pub subscribed: BTreeMap<(&'static str, &'static str), u64>,
    /// Those that have not accepted the newest snapshot.
    pub behind: u64,
    /// VMs that report.
    pub vms: u64,
    /// VMs that do not end streams, since requests arrive elsewhere than they
    /// predict.
    pub stopped: u64,
    /// Open streams.
    pub open: u64,
    /// Open streams whose key has another owner.
    pub misplaced: u64,
    /// Open streams of the present epoch that are elsewhere than predicted.
    pub mismatched: u64,
    /// Streams that were drained, as far as it was reported.
    pub drained: u64,
    /// Updates that were rejected, by type.
    pub nacks: Vec<(ResourceType, u64)>,
    /// Reports that were taken.
    pub reports: u64,
    /// Reports that were refused.
    pub reports_refused: u64,
}

impl Fleet {
    /// Takes the report of a VM in place of its last one.
    ///
    /// # Errors
    /// When there is no room for another VM.
    pub fn report(&self, report: Report, now: Instant) -> Result<(), ReportRefused> {
        let (node, vm) = (report.node.clone(), report.vm);
        let taken = self.lock().vms.take(report, now)?;
        self.changed.notify_one();
        match taken {
            Taken::Usual => {}
            Taken::Stopped => error!(
                node,
                vm, "Drain stopped: requests arrive elsewhere than predicted"
            ),
            Taken::GoesOn => info!(node, vm, "Drain goes on"),
        }
        Ok(())
    }

    /// Completes when something has changed since it last did.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// All proxies and VMs, as the rebalance to `snapshot` sees them.
    #[must_use]
    pub fn view(&self, snapshot: &Arc<Snapshot>, now: Instant) -> View {
        let state = self.lock();
        let proxies = state.proxies.values().map(|proxy| ProxyView {
            node: Arc::clone(&proxy.node),
            covers: proxy.covers(snapshot, now),
            is_back: proxy.is_back,
        });
        View {
            proxies: proxies.collect(),
            vms: state.vms.views(now),
            drained: state.vms.drained(),
        }
    }

    /// A snapshot is about to be handed out: from now on it is waited for.
    pub fn published(&self, snapshot: &Arc<Snapshot>, now: Instant) {
        self.lock().published = Some((Arc::clone(snapshot), now));
    }

    /// Open streams by the member that they are on.
    #[must_use]
    pub fn open_by_member(&self, now: Instant) -> BTreeMap<String, u64> {
        self.lock().vms.open_by_member(now)
    }

    /// Which members requests do not reach, as the proxies see it.
    #[must_use]
    pub fn sight(&self, now: Instant) -> Sight {
        let state = self.lock();
        let connected: BTreeSet<&str> = state
            .proxies
            .values()
            .map(|proxy| proxy.proxy.node.as_str())
            .collect();
        Sight::of(state.vms.live(now), |node| connected.contains(node))
    }

    /// Sums for metrics.
    #[must_use]
    pub fn totals(&self, snapshot: Option<&Arc<Snapshot>>, now: Instant) -> Totals {
        let state = self.lock();
        let mut totals = state.vms.totals(now);
        for mode in [Mode::StateOfTheWorld, Mode::Delta] {
            let count = state.proxies.values().filter(|p| p.proxy.mode == mode);
            totals.connected.insert(mode.name(), count.count() as u64);
        }
        let is_behind =
            |proxy: &&ProxyState| snapshot.is_none_or(|snapshot| !proxy.covers(snapshot, now));
        totals.behind = state.proxies.values().filter(is_behind).count() as u64;
        totals.nacks = state.traffic.nacks();
        totals.subscribed = subscribed(&state);
        totals
    }

    fn traffic(&self) -> Traffic {
        self.lock().traffic.copy()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn subscribed(state: &State) -> BTreeMap<(&'static str, &'static str), u64> {
    let mut counts = BTreeMap::new();
    for mode in [Mode::StateOfTheWorld, Mode::Delta] {
        for kind in ResourceType::ALL {
            let of = |proxy: &&ProxyState| proxy.proxy.mode == mode && proxy.has_asked(kind);
            let count = state.proxies.values().filter(of).count() as u64;
            counts.insert((kind.name(), mode.name()), count);
        }
    }
    counts
}

#[cfg(test)]
mod tests;
