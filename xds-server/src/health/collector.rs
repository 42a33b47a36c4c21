//! Metrics of the members' health; the table of all is in [`crate::admin`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Health;
use super::shown::MemberState;
use crate::metric::{counter, family, gauge};

/// Checks that are over.
#[derive(Debug, Default)]
pub(super) struct Counts {
    passed: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn checked(&self, has_passed: bool) {
        let counter = if has_passed {
            &self.passed
        } else {
            &self.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many have passed, and how many have not.
    pub(super) fn read(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.passed), read(&self.failed))
    }
}

#[derive(Debug)]
struct OfMembers(Arc<Health>);

/// Adds the metrics of `health` to `registry`, whose prefix they share.
pub fn register(registry: &mut Registry, health: Arc<Health>) {
    registry.register_collector(Box::new(OfMembers(health)));
}

impl Collector for OfMembers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, shown) = (&mut encoder, self.0.shown());
        let mut states = BTreeMap::from(MemberState::ALL.map(|state| (state, 0)));
        for member in &shown.members {
            *states.entry(member.state).or_default() += 1;
        }
        family(
            encoder,
            "members_listed",
            "Members that the registry lists, by what becomes of them",
            MetricType::Gauge,
            "state",
            states
                .into_iter()
                .map(|(state, count)| (state.name(), count)),
        )?;
        let (passed, failed) = self.0.counts.read();
        family(
            encoder,
            "health_checks",
            "Checks of members",
            MetricType::Counter,
            "outcome",
            [("passed", passed), ("failed", failed)].into_iter(),
        )?;
        gauge(
            encoder,
            "health_held_back",
            "Members that would be ejected, if not too many were",
            shown.held_back,
        )?;
        gauge(
            encoder,
            "health_keeps_last",
            "1 while the last roster stays, since nobody of those that are listed serves",
            u64::from(shown.keeps_last),
        )?;
        let ejected = "Members that were ejected";
        counter(encoder, "health_ejections", ejected, shown.ejections)?;
        let readmitted = "Members that came back after that";
        counter(
            encoder,
            "health_readmissions",
            readmitted,
            shown.readmissions,
        )
    }
}
