//! Counters and gauges, kept in the VM and added to Envoy's on a tick and with
//! each configuration, so that a request costs no host call for them.
//!
//! Envoy shows them as `wasmcustom.<name>`, one for the whole process, and to
//! Prometheus without that prefix. The names are cut so that an entry of
//! `stats_tags` can make a label of what stands behind `source.`, `mended.`,
//! `refused.` or `drained.`: with `^wasmcustom\.yorkies\.requests\.source(\.(\w+))$` the first
//! three become one `yorkies_requests_source`.
//!
//! | name | counts |
//! |---|---|
//! | `yorkies.requests.source.header` | requests routed by the key in their header |
//! | `yorkies.requests.source.body` | requests routed by the key in their message |
//! | `yorkies.requests.source.learned` | requests routed by the key that was learned for the document id in their message |
//! | `yorkies.requests.source.request_line` | requests routed by the key in their path, query or another header |
//! | `yorkies.requests.source.project` | requests routed by their project alone |
//! | `yorkies.requests.source.fixed` | requests routed by the fixed key of their path's rule |
//! | `yorkies.requests.source.none` | requests routed to any member, having no key and needing none |
//! | `yorkies.requests.mended.spelling` | keys that were not in canonical spelling |
//! | `yorkies.requests.mended.repeated` | requests with several key headers that mean the same |
//! | `yorkies.requests.mended.client` | client keys in the header that were not the message's, which counts |
//! | `yorkies.requests.mended.project` | keys without a project that got the one that the request names, or the default |
//! | `yorkies.requests.refused.no_key` | requests that need a key and have none |
//! | `yorkies.requests.refused.unknown_id` | requests that only have the id of a document whose key was not learned |
//! | `yorkies.requests.refused.malformed` | requests whose key or project is malformed |
//! | `yorkies.requests.refused.conflicting` | requests with several keys, or several `x-api-key`, that differ |
//! | `yorkies.requests.refused.forged` | requests whose key is of another project than theirs |
//! | `yorkies.requests.refused.mismatch` | requests whose key is of another resource than their message, path, query or other header |
//! | `yorkies.requests.refused.unreadable` | requests whose message is needed and cannot be read |
//! | `yorkies.requests.refused.too_large` | requests whose key is not within `max_body` bytes of their message |
//! | `yorkies.requests.refused.body_timeout` | requests whose key did not arrive within `body_timeout` |
//! | `yorkies.requests.refused.outsider` | calls between servers that were not made by one |
//! | `yorkies.requests.refused.unconfigured` | requests before the first good configuration |
//! | `yorkies.requests.refused.host` | requests for which a host call failed |
//! | `yorkies.bodies.bytes` | bytes of messages, of requests and responses, that were inspected |
//! | `yorkies.bodies.failed` | messages, of requests and responses, that could not be parsed |
//! | `yorkies.ids.learned` | document ids whose key was learned or changed |
//! | `yorkies.ids.unknown` | document ids whose key was needed and not known |
//! | `yorkies.config.updates` | configurations taken over |
//! | `yorkies.config.rejected` | configurations that could not be read |
//! | `yorkies.config.stale` | configurations older than the one in use |
//! | `yorkies.config.ignored_fields` | fields of configurations that this version does not know |
//! | `yorkies.open_streams` | gauge: streams of the cluster that are open, and unary calls that have been for too long |
//! | `yorkies.misplaced_streams` | gauge: those of them whose key has another owner now |
//! | `yorkies.drain_stopped` | gauge: workers that end no streams, because requests went elsewhere than they predict |
//! | `yorkies.drained.reset` | misplaced streams that were ended within their response |
//! | `yorkies.drained.answered` | misplaced streams that were answered before it |
//! | `yorkies.prediction_mismatches` | requests that were looked at and went elsewhere than predicted; those that overtake an assignment may be among them |
//! | `yorkies.streams_orphaned` | open streams of a VM that crashed: nobody can end them |
//! | `yorkies.reports.sent` | reports to the control plane |
//! | `yorkies.reports.failed` | reports that could not be sent |
//! | `yorkies.host.errors` | host calls that failed without harm to a request |
//!
//! A request is in exactly one of `source` and `refused`, and can be in
//! several of `mended`. The `config` counters count once for each VM: every
//! worker, the main thread, which runs the filter but no requests, and the one
//! in which Envoy tries a configuration before.

mod gauge;

use std::cell::{Cell, OnceCell};

use crate::host::{Host, HostError};

pub use gauge::{Gauge, Gauges};

/// One counter; see the table of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the table says it
pub enum Counter {
    SourceHeader,
    SourceBody,
    SourceLearned,
    SourceRequestLine,
    SourceProject,
    SourceFixed,
    SourceNone,
    MendedSpelling,
    MendedRepeated,
    MendedClient,
    MendedProject,
    RefusedNoKey,
    RefusedUnknownId,
    RefusedMalformed,
    RefusedConflicting,
    RefusedForged,
    RefusedMismatch,
    RefusedUnreadable,
    RefusedTooLarge,
    RefusedBodyTimeout,
    RefusedOutsider,
    RefusedUnconfigured,
    RefusedHost,
    BodyBytes,
    BodiesFailed,
    IdsLearned,
    IdsUnknown,
    ConfigUpdates,
    ConfigRejected,
    ConfigStale,
    ConfigIgnoredFields,
    DrainedReset,
    DrainedAnswered,
    PredictionMismatches,
    StreamsOrphaned,
    ReportsSent,
    ReportsFailed,
    HostErrors,
}

/// In the order of [`Counter`].
const NAMES: [&str; 38] = [
    "yorkies.requests.source.header",
    "yorkies.requests.source.body",
    "yorkies.requests.source.learned",
    "yorkies.requests.source.request_line",
    "yorkies.requests.source.project",
    "yorkies.requests.source.fixed",
    "yorkies.requests.source.none",
    "yorkies.requests.mended.spelling",
    "yorkies.requests.mended.repeated",
    "yorkies.requests.mended.client",
    "yorkies.requests.mended.project",
    "yorkies.requests.refused.no_key",
    "yorkies.requests.refused.unknown_id",
    "yorkies.requests.refused.malformed",
    "yorkies.requests.refused.conflicting",
    "yorkies.requests.refused.forged",
    "yorkies.requests.refused.mismatch",
    "yorkies.requests.refused.unreadable",
    "yorkies.requests.refused.too_large",
    "yorkies.requests.refused.body_timeout",
    "yorkies.requests.refused.outsider",
    "yorkies.requests.refused.unconfigured",
    "yorkies.requests.refused.host",
    "yorkies.bodies.bytes",
    "yorkies.bodies.failed",
    "yorkies.ids.learned",
    "yorkies.ids.unknown",
    "yorkies.config.updates",
    "yorkies.config.rejected",
    "yorkies.config.stale",
    "yorkies.config.ignored_fields",
    "yorkies.drained.reset",
    "yorkies.drained.answered",
    "yorkies.prediction_mismatches",
    "yorkies.streams_orphaned",
    "yorkies.reports.sent",
    "yorkies.reports.failed",
    "yorkies.host.errors",
];

/// The counters and gauges of one VM.
#[derive(Debug)]
pub struct Metrics {
    /// The gauges.
    pub gauges: Gauges,
    pending: [Cell<u64>; NAMES.len()],
    ids: OnceCell<[u32; NAMES.len()]>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            gauges: Gauges::new(),
            pending: [const { Cell::new(0) }; NAMES.len()],
            ids: OnceCell::new(),
        }
    }

    /// Adds to a counter.
    pub fn add(&self, counter: Counter, amount: u64) {
        if let Some(pending) = self.pending.get(counter as usize) {
            pending.set(pending.get().saturating_add(amount));
        }
    }

    /// Brings what has gathered to the host. What does not arrive stays for
    /// the next time.
    ///
    /// # Errors
    /// The first call that fails.
    pub fn flush(&self, host: &impl Host) -> Result<(), HostError> {
        let ids = self.ids(host)?;
        for (pending, id) in self.pending.iter().zip(ids) {
            let amount = pending.get();
            if amount > 0 {
                host.add_to_counter(*id, amount)?;
                pending.set(0);
            }
        }
        self.gauges.flush(host)
    }

    /// Makes all of them known to the host, so that they show before they
    /// count.
    ///
    /// # Errors
    /// The first call that fails.
    pub fn define(&self, host: &impl Host) -> Result<(), HostError> {
        self.ids(host)?;
        self.gauges.ids(host).map(|_| ())
    }

    fn ids(&self, host: &impl Host) -> Result<&[u32; NAMES.len()], HostError> {
        if let Some(ids) = self.ids.get() {
            return Ok(ids);
        }
        let mut ids = [0; NAMES.len()];
        for (id, name) in ids.iter_mut().zip(NAMES) {
            *id = host.define_counter(name)?;
        }
        Ok(self.ids.get_or_init(|| ids))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::MockHost;

    #[test]
    fn the_table_names_all_of_them_once() {
        let source = include_str!("metrics.rs");
        for name in NAMES.iter().chain(&gauge::NAMES) {
            assert_eq!(
                source.matches(&format!("| `{name}` |")).count(),
                1,
                "{name}"
            );
        }
        assert_eq!(Counter::HostErrors as usize, NAMES.len() - 1);
    }

    #[test]
    fn nothing_reaches_the_host_before_the_flush_and_all_of_it_then() {
        let host = MockHost::default();
        let metrics = Metrics::new();
        metrics.add(Counter::SourceHeader, 1);
        metrics.add(Counter::SourceHeader, 2);
        assert_eq!(host.counter("yorkies.requests.source.header"), 0);
        metrics.flush(&host).unwrap();
        metrics.flush(&host).unwrap();
        assert_eq!(host.counter("yorkies.requests.source.header"), 3);
    }

    #[test]
    fn what_does_not_arrive_is_kept() {
        let host = MockHost::default();
        let metrics = Metrics::new();
        metrics.add(Counter::SourceNone, 5);
        host.fail_with(HostError::InternalFailure);
        assert_eq!(metrics.flush(&host), Err(HostError::InternalFailure));
        host.recover();
        metrics.flush(&host).unwrap();
        assert_eq!(host.counter("yorkies.requests.source.none"), 5);
    }
}
