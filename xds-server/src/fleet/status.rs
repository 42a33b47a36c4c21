//! The fleet for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::proxy::ProxyState;
use super::vms::Vm;
use super::{Fleet, Kept};
use crate::ads::{Mode, StreamId};
use crate::api::{NackStatus, ProxyStatus, StreamStatus, TypeStatus, VmStatus};
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
                ..stream_status(proxy, snapshot)
            };
            node(&mut nodes, &proxy.node).streams.push(stream);
        }
        for (name, vm) in state.vms.live(now) {
            node(&mut nodes, name).vms.push(vm_status(vm, now));
        }
        nodes.into_values().collect()
    }
}

/// A stream of a node, and what of each type it has.
pub type StreamKept = (StreamId, Mode, Vec<(ResourceType, Kept)>);

impl Fleet {
    /// What every stream of that node has; empty when there is none.
    #[must_use]
    pub fn kept(&self, node: &str) -> Vec<StreamKept> {
        let state = self.lock();
        let streams = state.proxies.iter();
        let streams = streams.filter(|(_, proxy)| *proxy.node == *node);
        let streams = streams.map(|(id, proxy)| {
            let of = |kind: ResourceType| {
                let all = proxy.kept[kind as usize].all().iter();
                all.map(move |kept| (kind, kept.clone()))
            };
            let all = ResourceType::ALL.into_iter().flat_map(of);
            (*id, proxy.proxy.mode, all.collect())
        });
        streams.collect()
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

fn stream_status(state: &ProxyState, newest: Option<&Arc<Snapshot>>) -> StreamStatus {
    let nacks = || {
        ResourceType::ALL
            .into_iter()
            .filter_map(|kind| nack_status(state, kind))
    };
    let types = ResourceType::ALL.into_iter().filter_map(|kind| {
        let of =
            |versions: &[Option<Arc<str>>]| versions[kind as usize].as_deref().map(str::to_owned);
        let status = TypeStatus {
            state: state.state(kind, newest)?,
            sent: of(&state.sent),
            accepted: of(&state.acked),
            nack: nack_status(state, kind),
        };
        Some((kind.name().to_owned(), status))
    });
    StreamStatus {
        id: String::new(),
        address: state.proxy.address,
        software: state.proxy.software.clone(),
        mode: state.proxy.mode.name().to_owned(),
        current: false,
        types: types.collect(),
        nack: nacks().min_by_key(|nack| nack.mended),
    }
}

fn nack_status(state: &ProxyState, kind: ResourceType) -> Option<NackStatus> {
    let nack = state.nacks[kind as usize].as_ref()?;
    Some(NackStatus {
        kind: kind.name().to_owned(),
        version: nack.version.clone(),
        reason: nack.reason.clone(),
        mended: nack.is_mended,
    })
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
