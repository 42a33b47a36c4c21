//! The fleet for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::Fleet;
use super::proxy::ProxyState;
use super::vms::Vm;
use crate::api::{NackStatus, ProxyStatus, StreamStatus, VmStatus};
use crate::snapshot::{ResourceType, Snapshot};

impl Fleet {
    /// All proxies, by node id; `snapshot` is what they should have.
    #[must_use]
    pub fn status(&self, snapshot: Option<&Arc<Snapshot>>, now: Instant) -> Vec<ProxyStatus> {
        let state = self.lock();
        let mut nodes: BTreeMap<&str, ProxyStatus> = BTreeMap::new();
        for (id, proxy) in &state.proxies {
            let stream = StreamStatus {
                id: id.to_string(),
                current: snapshot.is_some_and(|snapshot| proxy.covers(snapshot, now)),
                ..stream_status(proxy)
            };
            node(&mut nodes, &proxy.node).streams.push(stream);
        }
        for (name, vm) in state.vms.live(now) {
            node(&mut nodes, name).vms.push(vm_status(vm, now));
        }
        nodes.into_values().collect()
    }
}

fn node<'a, 'n>(
    nodes: &'a mut BTreeMap<&'n str, ProxyStatus>,
    name: &'n str,
) -> &'a mut ProxyStatus {
    nodes.entry(name).or_insert_with(|| ProxyStatus {
        node: name.to_owned(),
        streams: Vec::new(),
        vms: Vec::new(),
    })
}

fn stream_status(state: &ProxyState) -> StreamStatus {
    let acked = ResourceType::ALL.into_iter().filter_map(|kind| {
        let version = state.acked[kind as usize].as_deref()?;
        Some((kind.name().to_owned(), version.to_owned()))
    });
    let nacks = ResourceType::ALL.into_iter().filter_map(|kind| {
        let nack = state.nacks[kind as usize].as_ref()?;
        Some(NackStatus {
            kind: kind.name().to_owned(),
            version: nack.version.clone(),
            reason: nack.reason.clone(),
            times: nack.times,
            mended: nack.is_mended,
        })
    });
    StreamStatus {
        id: String::new(),
        address: state.proxy.address,
        software: state.proxy.software.clone(),
        mode: state.proxy.mode.name().to_owned(),
        current: false,
        acked: acked.collect(),
        nacks: nacks.collect(),
    }
}

fn vm_status(vm: &Vm, now: Instant) -> VmStatus {
    let report = &vm.report;
    let silent = now.saturating_duration_since(vm.heard).as_millis();
    VmStatus {
        vm: format!("{:016x}", report.vm),
        epoch: report.epoch,
        phase: vm.phase.into(),
        open: report.open,
        misplaced: report.misplaced,
        drained: report.drained,
        refused: report.refused,
        mismatched: report.mismatched,
        silent_ms: u64::try_from(silent).unwrap_or(u64::MAX),
    }
}
