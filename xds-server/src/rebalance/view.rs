//! What the machine sees of the proxies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sharding::Phase;

/// All proxies and VMs at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Streams that are open.
    pub proxies: Vec<ProxyView>,
    /// VMs that were heard of lately.
    pub vms: Vec<VmView>,
    /// Streams that VMs have drained so far; only grows.
    pub drained: u64,
}

/// A connected proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyView {
    /// Its node id.
    pub node: Arc<str>,
    /// Whether it has accepted cluster, endpoints and filter of the snapshot
    /// that was published last.
    pub covers: bool,
    /// Whether it brought along what an earlier stream gave it.
    pub is_back: bool,
}

/// A VM by its last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmView {
    /// Node id of its proxy.
    pub node: Arc<str>,
    /// Its random number.
    pub vm: u64,
    /// Epoch of its assignment.
    pub epoch: u64,
    /// What it does about streams that moved.
    pub phase: Phase,
    /// Streams that sit elsewhere than their owner.
    pub misplaced: u64,
    /// Whether its proxy has left, and it was not heard of since.
    pub is_suspect: bool,
}

/// A proxy that a rebalance did not wait for any longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Its node id.
    pub node: String,
    /// What it owes.
    pub reason: Reason,
}

/// Why a proxy is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was connected during the rebalance and is not any more, and no VM of
    /// it says that it owes anything.
    Gone,
    /// It has not accepted the update.
    NotAccepted,
    /// A VM of it still reports an earlier epoch.
    EarlierEpoch,
    /// A VM of it reports an epoch that is too far ahead to be overtaken: it
    /// ignores every assignment.
    LaterEpoch,
    /// A VM of it has not taken over the release.
    NotReleased,
    /// A VM of it does not end streams, since its predictions are wrong.
    Stopped,
    /// It still has misplaced streams.
    Misplaced {
        /// How many, over all of its VMs.
        streams: u64,
    },
}

impl Behind {
    /// Whether it is not connected any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.reason == Reason::Gone
    }
}

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let node = &self.node;
        match self.reason {
            Reason::Gone => write!(f, "{node} (gone)"),
            Reason::NotAccepted => write!(f, "{node} (update not accepted)"),
            Reason::EarlierEpoch => write!(f, "{node} (at an earlier epoch)"),
            Reason::LaterEpoch => write!(f, "{node} (at a later epoch)"),
            Reason::NotReleased => write!(f, "{node} (has not released)"),
            Reason::Stopped => write!(f, "{node} (drain stopped)"),
            Reason::Misplaced { streams } => write!(f, "{node} ({streams} misplaced)"),
        }
    }
}

/// What a VM has to have reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The epoch.
    Routes,
    /// And that it has let go of all that moved.
    Drained,
}

impl View {
    /// Those that have not reached `goal` under `epoch`, one reason a node.
    /// `seen` are all nodes that were connected since the rebalance began. VMs
    /// of a node that is not connected count if they were heard of since it left:
    /// it goes on, and is about to connect again.
    pub(crate) fn behind(&self, epoch: u64, goal: Goal, seen: &BTreeSet<Arc<str>>) -> Vec<Behind> {
        let mut behind: BTreeMap<&Arc<str>, Reason> = BTreeMap::new();
        let connected: BTreeSet<_> = self.proxies.iter().map(|proxy| &proxy.node).collect();
        let counts = |vm: &&VmView| !vm.is_suspect || connected.contains(&vm.node);
        for vm in self.vms.iter().filter(counts) {
            let Some(reason) = vm.owes(epoch, goal) else {
                continue;
            };
            behind
                .entry(&vm.node)
                .and_modify(|known| *known = known.with(reason))
                .or_insert(reason);
        }
        for proxy in self.proxies.iter().filter(|proxy| !proxy.covers) {
            behind.insert(&proxy.node, Reason::NotAccepted);
        }
        for node in seen.iter().filter(|node| !connected.contains(node)) {
            behind.entry(node).or_insert(Reason::Gone);
        }
        let behind = behind.into_iter().map(|(node, reason)| Behind {
            node: node.to_string(),
            reason,
        });
        behind.collect()
    }

    /// Streams that all VMs together call misplaced.
    #[must_use]
    pub fn misplaced(&self) -> u64 {
        let misplaced = self.vms.iter().map(|vm| vm.misplaced);
        misplaced.fold(0, u64::saturating_add)
    }
}

impl VmView {
    fn owes(&self, epoch: u64, goal: Goal) -> Option<Reason> {
        if self.epoch < epoch {
            return Some(Reason::EarlierEpoch);
        }
        if self.epoch > epoch {
            return Some(Reason::LaterEpoch);
        }
        match (goal, self.phase) {
            (Goal::Drained, Phase::Hold) => Some(Reason::NotReleased),
            (Goal::Drained, Phase::Stopped) => Some(Reason::Stopped),
            (Goal::Drained, Phase::Released) if self.misplaced > 0 => Some(Reason::Misplaced {
                streams: self.misplaced,
            }),
            (Goal::Routes, _) | (_, Phase::Released) => None,
        }
    }
}

impl Reason {
    /// The graver of two reasons; numbers of streams add up.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Misplaced { streams: a }, Self::Misplaced { streams: b }) => Self::Misplaced {
                streams: a.saturating_add(b),
            },
            (Self::Misplaced { .. }, other) => other,
            (this, _) => this,
        }
    }
}
