//! What goes to and fro on the streams, by type.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use crate::metric::family;
use crate::snapshot::ResourceType;

/// Upper ends of the buckets of times, in seconds.
const TIMES: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Numbers since the start.
#[derive(Debug, Default)]
pub(super) struct Traffic([OfType; ResourceType::ALL.len()]);

/// Those of one type.
#[derive(Debug, Clone)]
struct OfType {
    pushes: u64,
    bytes: u64,
    acks: u64,
    nacks: u64,
    change_to_ack: Histogram,
}

impl Default for OfType {
    fn default() -> Self {
        Self {
            pushes: 0,
            bytes: 0,
            acks: 0,
            nacks: 0,
            change_to_ack: Histogram::new(TIMES),
        }
    }
}

impl Traffic {
    pub(super) fn pushed(&mut self, kind: ResourceType, bytes: usize) {
        let of = &mut self.0[kind as usize];
        of.pushes += 1;
        of.bytes += bytes as u64;
    }

    pub(super) fn acked(&mut self, kind: ResourceType) {
        self.0[kind as usize].acks += 1;
    }

    pub(super) fn nacked(&mut self, kind: ResourceType) {
        self.0[kind as usize].nacks += 1;
    }

    /// A proxy has accepted all of a type, that long after it was published.
    pub(super) fn took_over(&mut self, kind: ResourceType, after: Duration) {
        self.0[kind as usize]
            .change_to_ack
            .observe(after.as_secs_f64());
    }

    pub(super) fn nacks(&self) -> Vec<(ResourceType, u64)> {
        let nacks = ResourceType::ALL.map(|kind| (kind, self.0[kind as usize].nacks));
        nacks.to_vec()
    }

    /// A copy that needs no lock; histograms stay the same ones.
    pub(super) fn copy(&self) -> Self {
        Self(self.0.clone())
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Number = fn(&OfType) -> u64;
        let counters: [(&str, &str, Number); 4] = [
            ("pushes", "Responses that were sent", |of| of.pushes),
            ("pushed_bytes", "Bytes of these", |of| of.bytes),
            ("acks", "Responses that proxies accepted", |of| of.acks),
            ("nacks", "Updates that proxies rejected", |of| of.nacks),
        ];
        for (name, help, number) in counters {
            let all = ResourceType::ALL.map(|kind| (kind.name(), number(&self.0[kind as usize])));
            let all = all.into_iter();
            family(encoder, name, help, MetricType::Counter, "type", all)?;
        }
        let mut times = encoder.encode_descriptor(
            "change_to_ack_seconds",
            "From the publication of a change until a proxy has accepted all that it changes",
            None,
            MetricType::Histogram,
        )?;
        for kind in ResourceType::ALL {
            let labels = [("type", kind.name())];
            let histogram = &self.0[kind as usize].change_to_ack;
            histogram.encode(times.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
