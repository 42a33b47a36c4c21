//! Numbers of TLS; the table of all metrics is in [`crate::admin`].

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// How often changed files were taken, and how often not, and how long what was
/// taken last is good for.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    reloads: Family<OutcomeLabel, Counter>,
    not_after: Gauge,
}

impl Metrics {
    /// Adds them to `registry`, whose prefix they share.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        for outcome in ["done", "failed"] {
            let _ = this.reloads.get_or_create(&OutcomeLabel { outcome });
        }
        let help = "Times that changed files of xds.tls were taken, or refused";
        registry.register("xds_tls_reloads", help, this.reloads.clone());
        let help =
            "When the certificate of xds.tls expires, in seconds of unix time; 0 without TLS";
        registry.register("xds_tls_not_after_seconds", help, this.not_after.clone());
        this
    }

    pub(super) fn expires(&self, not_after: Option<i64>) {
        self.not_after.set(not_after.unwrap_or_default());
    }

    #[cfg(test)]
    pub(super) fn not_after(&self) -> i64 {
        self.not_after.get()
    }

    pub(super) fn reloaded(&self, is_good: bool) {
        let outcome = if is_good { "done" } else { "failed" };
        self.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
