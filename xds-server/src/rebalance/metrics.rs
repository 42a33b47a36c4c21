//! Numbers of rebalances; the table of all metrics is in [`crate::admin`].

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::record::{PlanSummary, Record};

/// Upper ends of the buckets of times, in seconds.
const TIMES: [f64; 12] = [
    0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 3.5, 5.0, 10.0, 30.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Metrics {
    by_cause: Family<CauseLabel, Counter>,
    by_outcome: Family<OutcomeLabel, Counter>,
    left_behind: Counter,
    plan_share: Gauge<f64, AtomicU64>,
    plan_streams: Gauge<f64, AtomicU64>,
    time: Histogram,
    saves: Family<OutcomeLabel, Counter>,
    slow_saves: Counter,
    unsaved: Gauge,
}

impl Metrics {
    /// Adds them to `registry`, whose prefix they share.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            by_cause: Family::default(),
            by_outcome: Family::default(),
            left_behind: Counter::default(),
            plan_share: Gauge::default(),
            plan_streams: Gauge::default(),
            time: Histogram::new(TIMES),
            saves: Family::default(),
            slow_saves: Counter::default(),
            unsaved: Gauge::default(),
        };
        registry.register(
            "rebalances",
            "Rebalances that are over; one with several causes counts for each",
            this.by_cause.clone(),
        );
        registry.register(
            "rebalances_ended",
            "Rebalances that are over",
            this.by_outcome.clone(),
        );
        registry.register(
            "proxies_left_behind",
            "Proxies that a release did not wait for",
            this.left_behind.clone(),
        );
        registry.register(
            "plan_share",
            "Share of all keys that the last rebalance moved",
            this.plan_share.clone(),
        );
        registry.register(
            "plan_streams",
            "Streams that the last rebalance had to end",
            this.plan_streams.clone(),
        );
        registry.register(
            "time_to_zero_misplaced_seconds",
            "From the publication of an assignment until no stream is misplaced",
            this.time.clone(),
        );
        registry.register(
            "state_saves",
            "Times that the state file was written",
            this.saves.clone(),
        );
        registry.register(
            "state_saves_slow",
            "Of these, those that took more than a second",
            this.slow_saves.clone(),
        );
        registry.register(
            "state_unsaved",
            "1 while the state file is older than what was handed out, else 0",
            this.unsaved.clone(),
        );
        this
    }

    /// A write of the state file has ended.
    pub(super) fn saved(&self, is_saved: bool) {
        let outcome = if is_saved { "done" } else { "failed" };
        let label = OutcomeLabel { outcome };
        self.saves.get_or_create(&label).inc();
    }

    /// One goes on for longer than it should.
    pub(super) fn save_is_slow(&self) {
        self.slow_saves.inc();
    }

    /// Whether the state file is not up to date.
    pub(super) fn unsaved(&self, is_unsaved: bool) {
        self.unsaved.set(is_unsaved.into());
    }

    pub(super) fn planned(&self, plan: &PlanSummary) {
        self.plan_share.set(plan.moved);
        self.plan_streams.set(plan.streams as f64);
    }

    pub(super) fn finished(&self, record: &Record) {
        let causes: BTreeSet<_> = record.changes.iter().map(|change| change.cause).collect();
        for cause in causes {
            let cause = cause.name();
            self.by_cause.get_or_create(&CauseLabel { cause }).inc();
        }
        if let Some(outcome) = record.outcome {
            let outcome = outcome.name();
            let label = OutcomeLabel { outcome };
            self.by_outcome.get_or_create(&label).inc();
        }
        self.left_behind.inc_by(record.left_behind.len() as u64);
        if let Some(time) = record.to_zero_misplaced_ms()
            && !record.is_of_start()
        {
            self.time.observe(time as f64 / 1000.0);
        }
    }
}
