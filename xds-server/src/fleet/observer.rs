//! What the xDS streams tell.

use std::sync::Arc;
use std::time::Instant;

use super::Fleet;
use super::proxy::{Nack, ProxyState};
use crate::ads::{Holding, LogOnly, Proxy, ProxyObserver, Push, StreamId};
use crate::snapshot::{ResourceType, Snapshot};

impl ProxyObserver for Fleet {
    fn connected(&self, stream: StreamId, proxy: &Proxy) {
        LogOnly.connected(stream, proxy);
        let state = ProxyState::new(proxy.clone(), Instant::now());
        self.lock().proxies.insert(stream, state);
        self.changed.notify_one();
    }

    fn pushed(&self, stream: StreamId, proxy: &Proxy, push: Push<'_>) {
        LogOnly.pushed(stream, proxy, push);
        let mut state = self.lock();
        state.traffic.pushed(push.kind, push.bytes);
        if let Some(proxy) = state.proxies.get_mut(&stream) {
            proxy.sent[push.kind as usize] = Some(push.version.into());
        }
    }

    fn acked(&self, stream: StreamId, proxy: &Proxy, kind: ResourceType, version: &str) {
        LogOnly.acked(stream, proxy, kind, version);
        let mut state = self.lock();
        state.traffic.acked(kind);
        if let Some(proxy) = state.proxies.get_mut(&stream) {
            proxy.acked(kind, version);
        }
    }

    fn nacked(
        &self,
        stream: StreamId,
        proxy: &Proxy,
        kind: ResourceType,
        version: &str,
        reason: &str,
    ) {
        LogOnly.nacked(stream, proxy, kind, version, reason);
        let mut state = self.lock();
        state.traffic.nacked(kind);
        if let Some(proxy) = state.proxies.get_mut(&stream) {
            proxy.nacks[kind as usize] = Some(Nack {
                version: version.to_owned(),
                reason: reason.to_owned(),
                is_mended: false,
            });
        }
    }

    fn holds(
        &self,
        stream: StreamId,
        kind: ResourceType,
        holding: Holding<'_>,
        snapshot: &Arc<Snapshot>,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(proxy) = state.proxies.get_mut(&stream) else {
            return;
        };
        let is_first = !proxy.has_asked(kind);
        let look = proxy.holds(kind, holding, snapshot);
        if look.took_over
            && let Some((published, at)) = &state.published
            && Arc::ptr_eq(published, snapshot)
        {
            state.traffic.took_over(kind, at.elapsed());
        }
        // VMs come with the filter: a process that never had it has none, and those that reported are of another.
        if is_first && kind == ResourceType::Extension && !holding.is_back() {
            state.vms.forget_suspects(&proxy.node);
        }
        if look.is_news {
            self.changed.notify_one();
        }
    }

    fn disconnected(&self, stream: StreamId, proxy: &Proxy) {
        LogOnly.disconnected(stream, proxy);
        let mut state = self.lock();
        state.proxies.remove(&stream);
        let is_left = |other: &ProxyState| *other.node == *proxy.node;
        if !state.proxies.values().any(is_left) {
            state.vms.suspect(&proxy.node, Instant::now());
        }
        drop(state);
        self.changed.notify_one();
    }
}
