//! The answers as values.

use std::sync::Arc;
use std::time::Instant;

use sharding::{FilterConfig, Roster};

use super::Admin;
use super::members::with_health;
use crate::api::{MemberStatus, ProxyStatus, Status};
use crate::health::MemberState;
use crate::rebalance::Shown;

impl Admin {
    pub(super) fn is_ready(&self) -> bool {
        self.board.read().current.is_some()
    }

    pub(super) fn metrics(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    pub(super) async fn status(&self) -> Status {
        let Shown {
            stage,
            pending,
            current,
            snapshot,
            underway,
            last,
            ..
        } = self.board.read();
        let now = Instant::now();
        let assigned = match &current {
            Some(current) => self.members(current, now).await,
            None => Vec::new(),
        };
        let open = self.fleet.open_by_member(now);
        let members = with_health(assigned, self.health.shown().members, &open);
        let current = current.as_deref();
        let proxies = self.fleet.status(snapshot.as_ref(), now);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stage,
            pending,
            epoch: current.map(|current| current.epoch),
            policy: current.map(|current| current.policy),
            drain: current.map(|current| current.drain),
            members,
            unreported: is_unreported(&proxies),
            proxies,
            rebalance: underway.map(|record| Arc::unwrap_or_clone(record).into()),
            last: last
                .into_iter()
                .map(|record| Arc::unwrap_or_clone(record).into())
                .collect(),
        }
    }

    async fn members(&self, current: &FilterConfig, now: Instant) -> Vec<MemberStatus> {
        let shares = self.shares(current).await;
        let open = self.fleet.open_by_member(now);
        let members = current.members.as_ref().map_or(&[][..], Roster::members);
        let status = |member: &sharding::Member| MemberStatus {
            id: member.id.clone(),
            address: member.address,
            weight: member.weight,
            incarnation: member.incarnation.clone(),
            zone: member.zone.clone(),
            share: shares
                .as_ref()
                .and_then(|shares| shares.get(&member.id).copied()),
            open: open.get(&member.id).copied().unwrap_or_default(),
            state: MemberState::default(),
            why: None,
        };
        members.iter().map(status).collect()
    }
}

fn is_unreported(proxies: &[ProxyStatus]) -> bool {
    let is_connected = proxies.iter().any(|proxy| !proxy.streams.is_empty());
    is_connected && proxies.iter().all(|proxy| proxy.vms.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ads::{Mode, Proxy, ProxyObserver, StreamId};
    use crate::fleet::Fleet;

    #[test]
    fn proxies_without_a_single_report_are_told_of() {
        let (fleet, now) = (Fleet::default(), Instant::now());
        let is_told = || is_unreported(&fleet.status(None, now));
        assert!(!is_told(), "nobody is there");
        for stream in [1, 2] {
            let proxy = Proxy::new(None, None, Mode::Delta);
            fleet.connected(StreamId(stream), &proxy);
        }
        assert!(is_told());
        fleet.report(sharding::Report::default(), now).unwrap();
        assert!(!is_told());
    }
}
