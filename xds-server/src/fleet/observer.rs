//! What the xDS streams tell.

use std::sync::Arc;
use std::time::Instant;

use super::Fleet;
use super::proxy::ProxyState;
use crate::ads::{Holding, LogOnly, Proxy, ProxyObserver, StreamId};
use crate::snapshot::{ResourceType, Snapshot};

impl ProxyObserver for Fleet {
    fn connected(&self, stream: StreamId, proxy: &Proxy) {
        LogOnly.connected(stream, proxy);
        let state = ProxyState::new(proxy.clone(), Instant::now());
        self.lock().proxies.insert(stream, state);
        self.changed.notify_one();
    }

    fn acked(&self, stream: StreamId, proxy: &Proxy, kind: ResourceType, version: &str) {
        LogOnly.acked(stream, proxy, kind, version);
        if let Some(proxy) = self.lock().proxies.get_mut(&stream) {
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
        state.nacks[kind as usize] += 1;
        if let Some(proxy) = state.proxies.get_mut(&stream) {
            proxy.nacked(kind, version, reason);
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
        let is_news = proxy.holds(kind, holding, snapshot);
        // VMs come with the filter: a process that never had it has none, and those that reported are of another.
        if is_first && kind == ResourceType::Extension && !holding.is_back() {
            state.vms.forget_suspects(&proxy.node);
        }
        if is_news {
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
