//! What VMs report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sharding::{Phase, Report};
use thiserror::Error;

use super::Totals;
use crate::rebalance::VmView;

/// A VM that was not heard of for this long is forgotten: they report at least
/// every 5 seconds.
pub const SILENCE: Duration = Duration::from_secs(15);

/// After the last stream of its node has ended, a VM is forgotten sooner: it may
/// be of a process that is gone. One that lives on reports within 5 seconds.
const SILENCE_OF_SUSPECTS: Duration = Duration::from_secs(6);

/// Most nodes with reports, most VMs of one node and of all.
const MAX_NODES: usize = 4096;
const MAX_VMS_PER_NODE: usize = 256;
const MAX_VMS: usize = 16_384;

/// Most numbers of streams by member that are kept, over all VMs. Beyond, a VM
/// counts in sums only.
const MAX_MEMBER_ENTRIES: usize = 1 << 18;

/// Longest node id that is kept, as of a stream, and longest id of a member.
const MAX_NODE: usize = 1024;
const MAX_MEMBER: usize = 255;

/// Between two searches for silent VMs.
const SWEEP: Duration = Duration::from_secs(1);

/// Why a report is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReportRefused {
    /// From a node that is not known yet.
    #[error("{MAX_NODES} nodes report already, no room for another")]
    Nodes,
    /// From a VM that is not known yet.
    #[error("{MAX_VMS_PER_NODE} VMs of node {node:?} report already, no room for another")]
    VmsOfNode {
        /// The node.
        node: String,
    },
    /// From a VM that is not known yet.
    #[error("{MAX_VMS} VMs report already, no room for another")]
    Vms,
}

/// What a report says that a person should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Usual,
    /// The VM does not drain any more.
    Stopped,
    /// It does again.
    GoesOn,
}

/// The last report of a VM.
#[derive(Debug)]
pub(super) struct Vm {
    pub(super) heard: Instant,
    pub(super) phase: Phase,
    pub(super) report: Report,
    /// When its proxy left, if it was not heard of since.
    suspect_since: Option<Instant>,
}

impl Vm {
    fn is_live(&self, now: Instant) -> bool {
        let (since, limit) = match self.suspect_since {
            Some(since) => (since, SILENCE_OF_SUSPECTS),
            None => (self.heard, SILENCE),
        };
        now.saturating_duration_since(since) < limit
    }
}

/// All VMs, by node.
#[derive(Debug, Default)]
pub(super) struct Vms {
    nodes: BTreeMap<Arc<str>, BTreeMap<u64, Vm>>,
    count: usize,
    member_entries: usize,
    drained: u64,
    taken: u64,
    refused: u64,
    swept: Option<Instant>,
}

impl Vms {
    pub(super) fn take(&mut self, report: Report, now: Instant) -> Result<Taken, ReportRefused> {
        self.sweep(now);
        let taken = self.try_take(report, now);
        match taken {
            Ok(_) => self.taken += 1,
            Err(_) => self.refused += 1,
        }
        taken
    }

    fn try_take(&mut self, mut report: Report, now: Instant) -> Result<Taken, ReportRefused> {
        let node = node_of(&report.node);
        report.node = String::new();
        for member in &mut report.members {
            truncate(&mut member.id, MAX_MEMBER);
        }
        self.make_room(&node, report.vm)?;
        let vms = self.nodes.entry(node).or_default();
        if let Some(old) = vms.get_mut(&report.vm)
            && is_overtaken(&report, &old.report)
        {
            old.heard = now;
            return Ok(Taken::Usual);
        }
        let old = vms.get(&report.vm);
        let old_entries = old.map_or(0, |old| old.report.members.len());
        let others = self.member_entries.saturating_sub(old_entries);
        if others + report.members.len() > MAX_MEMBER_ENTRIES {
            report.members = Vec::new();
        }
        report.members.shrink_to_fit();
        self.member_entries = others + report.members.len();
        // What a VM drained before it was heard of belongs to an earlier process of ours.
        let before = old.map_or(report.drained, |old| old.report.drained);
        let drained = report.drained.saturating_sub(before);
        self.drained = self.drained.saturating_add(drained);
        let was_stopped = old.is_some_and(|old| old.phase == Phase::Stopped);
        let phase = report.phase();
        let taken = match (was_stopped, phase == Phase::Stopped) {
            (false, true) => Taken::Stopped,
            (true, false) => Taken::GoesOn,
            _ => Taken::Usual,
        };
        let heard = now;
        let vm = Vm {
            heard,
            phase,
            report,
            suspect_since: None,
        };
        if vms.insert(vm.report.vm, vm).is_none() {
            self.count += 1;
        }
        Ok(taken)
    }

    /// The last stream of that node has ended.
    pub(super) fn suspect(&mut self, node: &str, now: Instant) {
        for vm in self
            .nodes
            .get_mut(node)
            .into_iter()
            .flat_map(BTreeMap::values_mut)
        {
            vm.suspect_since.get_or_insert(now);
        }
    }

    /// A new process of that node has started, which has none of the VMs that
    /// were not heard of since the last stream ended.
    pub(super) fn forget_suspects(&mut self, node: &str) {
        let Some(vms) = self.nodes.get_mut(node) else {
            return;
        };
        vms.retain(|_, vm| vm.suspect_since.is_none());
        if vms.is_empty() {
            self.nodes.remove(node);
        }
        self.count_all();
    }

    fn count_all(&mut self) {
        let vms = self.nodes.values();
        self.count = vms.clone().map(BTreeMap::len).sum();
        let reports = vms.flat_map(BTreeMap::values).map(|vm| &vm.report);
        self.member_entries = reports.map(|report| report.members.len()).sum();
    }

    fn make_room(&self, node: &Arc<str>, vm: u64) -> Result<(), ReportRefused> {
        let vms = self.nodes.get(node);
        if vms.is_some_and(|vms| vms.contains_key(&vm)) {
            return Ok(());
        }
        if vms.is_none() && self.nodes.len() >= MAX_NODES {
            return Err(ReportRefused::Nodes);
        }
        if vms.is_some_and(|vms| vms.len() >= MAX_VMS_PER_NODE) {
            let node = node.to_string();
            return Err(ReportRefused::VmsOfNode { node });
        }
        if self.count >= MAX_VMS {
            return Err(ReportRefused::Vms);
        }
        Ok(())
    }

    /// Forgets the silent ones, now and then.
    fn sweep(&mut self, now: Instant) {
        let is_due = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP;
        if !self.swept.is_none_or(is_due) {
            return;
        }
        self.swept = Some(now);
        self.nodes.retain(|_, vms| {
            vms.retain(|_, vm| vm.is_live(now));
            !vms.is_empty()
        });
        self.count_all();
    }

    /// Those that were heard of lately.
    pub(super) fn live(&self, now: Instant) -> impl Iterator<Item = (&Arc<str>, &Vm)> {
        let all = self.nodes.iter();
        let all = all.flat_map(|(node, vms)| vms.values().map(move |vm| (node, vm)));
        all.filter(move |(_, vm)| vm.is_live(now))
    }

    pub(super) fn views(&self, now: Instant) -> Vec<VmView> {
        let views = self.live(now).map(|(node, vm)| VmView {
            node: Arc::clone(node),
            vm: vm.report.vm,
            epoch: vm.report.epoch,
            phase: vm.phase,
            misplaced: vm.report.misplaced,
            is_suspect: vm.suspect_since.is_some(),
        });
        views.collect()
    }

    pub(super) fn drained(&self) -> u64 {
        self.drained
    }

    pub(super) fn open_by_member(&self, now: Instant) -> BTreeMap<String, u64> {
        let mut open: BTreeMap<String, u64> = BTreeMap::new();
        for member in self.live(now).flat_map(|(_, vm)| &vm.report.members) {
            match open.get_mut(&member.id) {
                Some(sum) => *sum = sum.saturating_add(member.open),
                None => {
                    open.insert(member.id.clone(), member.open);
                }
            }
        }
        open
    }

    pub(super) fn totals(&self, now: Instant) -> Totals {
        let mut totals = Totals {
            drained: self.drained,
            reports: self.taken,
            reports_refused: self.refused,
            ..Totals::default()
        };
        for (_, vm) in self.live(now) {
            totals.vms += 1;
            totals.stopped += u64::from(vm.phase == Phase::Stopped);
            for (sum, of_vm) in [
                (&mut totals.open, vm.report.open),
                (&mut totals.misplaced, vm.report.misplaced),
                (&mut totals.mismatched, vm.report.mismatched),
            ] {
                *sum = sum.saturating_add(of_vm);
            }
        }
        totals
    }
}

/// The node as a stream has it: shortened, and `unknown` without a name.
fn node_of(node: &str) -> Arc<str> {
    if node.is_empty() {
        return "unknown".into();
    }
    node[..node.floor_char_boundary(MAX_NODE)].into()
}

/// Whether a later report of the same VM has arrived before this one.
fn is_overtaken(report: &Report, last: &Report) -> bool {
    report.sequence != 0 && report.sequence < last.sequence
}

fn truncate(text: &mut String, length: usize) {
    text.truncate(text.floor_char_boundary(length));
    text.shrink_to_fit();
}
