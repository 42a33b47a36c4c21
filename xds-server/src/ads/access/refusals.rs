//! Counts who is refused and why, and keeps the log from filling with it. The
//! table of all metrics is in [`crate::admin`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Whoever is refused tries again, so each reason is logged this often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Why somebody is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// There are as many connections as there may be.
    Connections,
    /// There are as many of that address as there may be.
    Address,
    /// TLS did not come about: no certificate or a wrong one, no TLS at all.
    Tls,
    /// No request came in time.
    Slow,
    /// There are as many requests on the connection as there may be.
    Streams,
    /// A message is too large.
    Message,
    /// The certificate is not that of the node.
    Identity,
}

impl Refusal {
    const ALL: [Self; 7] = [
        Self::Connections,
        Self::Address,
        Self::Tls,
        Self::Slow,
        Self::Streams,
        Self::Message,
        Self::Identity,
    ];

    /// As metrics have it.
    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Tls => "tls",
            Self::Slow => "slow",
            Self::Streams => "streams",
            Self::Message => "message",
            Self::Identity => "identity",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    refused: Family<ReasonLabel, Counter>,
    idle: Counter,
    connections: Gauge,
    logged: Arc<Mutex<BTreeMap<Refusal, Logged>>>,
}

#[derive(Debug)]
struct Logged {
    at: Instant,
    /// How many came after it and were not.
    unlogged: u64,
}

impl Refusals {
    /// Adds its metrics to `registry`, whose prefix they share.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        for refusal in Refusal::ALL {
            let _ = this.counter(refusal);
        }
        let help = "Connections, streams, messages and reports that the xDS port refused";
        registry.register("xds_refused", help, this.refused.clone());
        let help = "Connections that were closed since nothing was open on them";
        registry.register("xds_idle_closed", help, this.idle.clone());
        let help = "Open connections of the xDS port";
        registry.register("xds_connections", help, this.connections.clone());
        this
    }

    /// Counts it. If it is to be logged, says how many were not since the last
    /// that was.
    pub(crate) fn count(&self, refusal: Refusal) -> Option<u64> {
        self.count_at(refusal, Instant::now())
    }

    fn count_at(&self, refusal: Refusal, now: Instant) -> Option<u64> {
        self.counter(refusal).inc();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        match logged.get_mut(&refusal) {
            Some(last) if now.duration_since(last.at) < LOG_INTERVAL => {
                last.unlogged += 1;
                None
            }
            last => {
                let unlogged = last.map_or(0, |last| last.unlogged);
                let news = Logged {
                    at: now,
                    unlogged: 0,
                };
                logged.insert(refusal, news);
                Some(unlogged)
            }
        }
    }

    pub(crate) fn count_idle(&self) {
        self.idle.inc();
    }

    pub(crate) fn show_connections(&self, open: u32) {
        self.connections.set(open.into());
    }

    /// How many there were.
    #[cfg(test)]
    pub(crate) fn counted(&self, refusal: Refusal) -> u64 {
        self.counter(refusal).get()
    }

    #[cfg(test)]
    pub(crate) fn idle(&self) -> u64 {
        self.idle.get()
    }

    fn counter(&self, refusal: Refusal) -> Counter {
        let reason = refusal.name();
        self.refused.get_or_create_owned(&ReasonLabel { reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_few_are_logged() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(refusals.count_at(Refusal::Tls, at(0)), Some(0));
        assert_eq!(refusals.count_at(Refusal::Tls, at(1)), None);
        assert_eq!(refusals.count_at(Refusal::Slow, at(1)), Some(0));
        assert_eq!(refusals.count_at(Refusal::Tls, at(999)), None);
        assert_eq!(refusals.count_at(Refusal::Tls, at(1000)), Some(2));
        assert_eq!(refusals.count_at(Refusal::Tls, at(3000)), Some(0));
        assert_eq!(refusals.counted(Refusal::Tls), 5);
        assert_eq!(refusals.counted(Refusal::Slow), 1);
        assert_eq!(refusals.counted(Refusal::Message), 0);
    }
}
