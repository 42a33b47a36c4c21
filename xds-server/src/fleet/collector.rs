//! Metrics of proxies and VMs; the table of all is in [`crate::admin`].

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Fleet;
use crate::metric::{counter, family, gauge};
use crate::rebalance::Board;

#[derive(Debug)]
struct OfFleet {
    fleet: Arc<Fleet>,
    board: Arc<Board>,
}

/// Adds the metrics of `fleet` to `registry`, whose prefix they share; `board`
/// has the snapshot that proxies should have.
pub fn register(registry: &mut Registry, fleet: Arc<Fleet>, board: Arc<Board>) {
    registry.register_collector(Box::new(OfFleet { fleet, board }));
}

impl Collector for OfFleet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.board.read().snapshot;
        let totals = self.fleet.totals(snapshot.as_ref(), Instant::now());
        let encoder = &mut encoder;
        let connected = totals.connected.iter().map(|(mode, count)| (*mode, *count));
        family(
            encoder,
            "proxies_connected",
            "xDS streams of proxies",
            MetricType::Gauge,
            "mode",
            connected,
        )?;
        let mut subscribed = encoder.encode_descriptor(
            "proxies_subscribed",
            "xDS streams of proxies that have asked for a type",
            None,
            MetricType::Gauge,
        )?;
        for ((kind, mode), count) in &totals.subscribed {
            let labels = [("type", *kind), ("mode", *mode)];
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(subscribed.encode_family(&labels)?)?;
        }
        self.fleet.traffic().encode(encoder)?;
        let behind = "Proxies that have not accepted the newest assignment";
        let stopped = "VMs that do not drain since requests arrive elsewhere than predicted";
        let mismatched = "Open streams of the present epoch that are elsewhere than predicted";
        for (name, help, value) in [
            ("proxies_behind", behind, totals.behind),
            ("vms", "VMs that report", totals.vms),
            ("drain_stopped_vms", stopped, totals.stopped),
            ("streams_open", "Open streams", totals.open),
            (
                "streams_misplaced",
                "Open streams whose key has another owner",
                totals.misplaced,
            ),
            ("streams_mismatched", mismatched, totals.mismatched),
        ] {
            gauge(encoder, name, help, value)?;
        }
        for (name, help, value) in [
            (
                "streams_drained",
                "Streams that were drained",
                totals.drained,
            ),
            ("reports", "Reports that were taken", totals.reports),
            (
                "reports_refused",
                "Reports that were refused",
                totals.reports_refused,
            ),
        ] {
            counter(encoder, name, help, value)?;
        }
        Ok(())
    }
}
