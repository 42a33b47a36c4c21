//! Metrics of the sources; the table of all is in [`crate::admin`].

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Sources;
use crate::metric::family;

#[derive(Debug)]
struct OfSources(Arc<Sources>);

/// Adds the metrics of `sources` to `registry`, whose prefix they share.
pub fn register(registry: &mut Registry, sources: Arc<Sources>) {
    registry.register_collector(Box::new(OfSources(sources)));
}

impl Collector for OfSources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stale = self.0.stale();
        let seconds = stale.iter().map(|(source, age)| (*source, age.as_secs()));
        family(
            &mut encoder,
            "registry_stale_seconds",
            "Since the source of members last gave a good answer",
            MetricType::Gauge,
            "source",
            seconds,
        )
    }
}
