//! What a VM knows and does, apart from any root context: Envoy makes a new
//! root for every configuration and keeps the old one until its streams end,
//! but all roots of a worker share one VM, and the newest assignment counts
//! for all of them.
//!
//! How Envoy brings a configuration (read in its source, `wasm.cc` of
//! proxy-wasm-cpp-host, and seen on 1.36 and 1.40): first to a *canary*, a
//! fresh VM on the main thread that is thrown away; when it refuses, the update
//! is rejected (NACK, or no start at all) and nobody else sees it. Then, each
//! in a new root, to the VM of the main thread and to those of the workers. A
//! worker whose root refused would lose the filter without a word, and requests
//! would pass it by. So a configuration is refused where there is no good
//! state, which is true of the canary, and ignored where there is one.

mod configuring;
mod following;
mod ticking;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use sharding::{Assignment, FilterConfig, Rules, canonical_project};

use crate::drain::Drain;
use crate::handover::Handover;
use crate::host::{Host, HostError, LogLevel};
use crate::metrics::{Counter, Metrics};
use crate::report::Reports;
use crate::waiting::Waiting;

/// A configuration, made ready for requests. Immutable.
#[derive(Debug)]
pub struct Current {
    /// As it came.
    pub config: FilterConfig,
    /// Its rules and the built-in ones.
    pub rules: Rules,
    /// Absent in key-only mode. Its table is built by the first request that
    /// asks for an owner.
    pub assignment: Option<Rc<Assignment>>,
    /// The epoch in decimal.
    pub epoch: String,
    /// The project of requests that name none, canonical; empty where none is
    /// configured.
    pub default_project: String,
}

impl Current {
    /// Makes a configuration ready. The assignment of the one `before` is kept
    /// with its table, if it is the same.
    #[must_use]
    pub fn new(config: FilterConfig, before: Option<&Self>) -> Self {
        let same = before.filter(|before| before.has_same_assignment(&config));
        let default = config.default_project.as_deref().unwrap_or_default();
        Self {
            // A configuration with a project that is none was refused.
            default_project: canonical_project(default.as_bytes())
                .map(Cow::into_owned)
                .unwrap_or_default(),
            rules: config.rules(),
            assignment: match same {
                Some(before) => before.assignment.clone(),
                None => config.assignment().map(Rc::new),
            },
            epoch: config.epoch.to_string(),
            config,
        }
    }

    fn has_same_assignment(&self, config: &FilterConfig) -> bool {
        let own = &self.config;
        (own.epoch, own.policy, &own.members) == (config.epoch, config.policy, &config.members)
    }
}

/// What came of the configuration of a root context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configured {
    /// Whether the VM can serve.
    pub can_serve: bool,
    /// Whether the root's listener is reached by servers of the cluster alone.
    /// The root's own: what it comes with besides is the VM's.
    pub internal: bool,
}

/// The state of one VM, which is that of one worker thread.
#[derive(Debug, Default)]
pub struct Vm {
    current: RefCell<Option<Rc<Current>>>,
    pub(crate) metrics: Metrics,
    /// Every root context that has not ended.
    roots: RefCell<BTreeSet<u32>>,
    /// The one that ticks, also after its end; none before the first request.
    ticking: Cell<Option<u32>>,
    /// How often it ticks.
    period: Cell<Duration>,
    /// When it last looked for a newer configuration than its own.
    looked: Cell<Option<Duration>>,
    pub(crate) waiting: Waiting,
    drain: RefCell<Drain>,
    /// Streams that are open, where a panic can read it.
    open_streams: Cell<u64>,
    reports: RefCell<Reports>,
    /// Requests that were refused.
    refused: Cell<u64>,
    handover: Handover,
}

impl Vm {
    /// Without a configuration.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            current: RefCell::new(None),
            metrics: Metrics::new(),
            roots: RefCell::new(BTreeSet::new()),
            ticking: Cell::new(None),
            period: Cell::new(Duration::ZERO),
            looked: Cell::new(None),
            waiting: Waiting::new(),
            drain: RefCell::new(Drain::new()),
            open_streams: Cell::new(0),
            reports: RefCell::new(Reports::new()),
            refused: Cell::new(0),
            handover: Handover::new(),
        }
    }

    /// The configuration in use.
    #[must_use]
    pub fn current(&self) -> Option<Rc<Current>> {
        self.current.borrow().clone()
    }

    /// The VM dies: it counts the streams that nobody can end any more, and
    /// gives back its part of the gauges. Whatever the panic has interrupted,
    /// this reads nothing that can be borrowed.
    pub fn crashed(&self, host: &impl Host) {
        let open = self.open_streams.get();
        self.metrics.add(Counter::StreamsOrphaned, open);
        self.metrics.gauges.clear();
        self.note(self.metrics.flush(host));
        if open > 0 {
            host.log(
                LogLevel::Critical,
                &format!(
                    "yorkies: {open} open streams are left without a filter that could end them"
                ),
            );
        }
    }

    pub(crate) fn count_refused(&self, counter: Counter) {
        self.metrics.add(counter, 1);
        self.refused.set(self.refused.get().saturating_add(1));
    }

    pub(crate) fn note(&self, result: Result<(), HostError>) {
        if result.is_err() {
            self.metrics.add(Counter::HostErrors, 1);
        }
    }
}

#[cfg(test)]
mod tests;
