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

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sharding::{Assignment, FilterConfig, Rules, canonical_project};

use crate::host::{Host, HostError, LogLevel};
use crate::metrics::{Counter, Metrics};
use crate::stream;
use crate::waiting::Waiting;

/// How often counters reach the host, and requests are looked at that wait.
const TICK: Duration = Duration::from_secs(1);

/// The same while a tick has left something undone.
const QUICK_TICK: Duration = Duration::from_millis(10);

/// Unknown fields that a log line names.
const MAX_NAMED_FIELDS: usize = 8;

/// A configuration, made ready for requests. Immutable.
#[derive(Debug)]
pub struct Current {
    /// As it came.
    pub config: FilterConfig,
    /// Its rules and the built-in ones.
    pub rules: Rules,
    /// Absent in key-only mode. Its table is built by the first request that
    /// asks for an owner.
    pub assignment: Option<Assignment>,
    /// The epoch in decimal.
    pub epoch: String,
    /// The project of requests that name none, canonical; empty where none is
    /// configured.
    pub default_project: String,
}

impl Current {
    /// Makes a configuration ready.
    #[must_use]
    pub fn new(config: FilterConfig) -> Self {
        let default = config.default_project.as_deref().unwrap_or_default();
        Self {
            // A configuration with a project that is none was refused.
            default_project: canonical_project(default.as_bytes())
                .map(Cow::into_owned)
                .unwrap_or_default(),
            rules: config.rules(),
            assignment: config.assignment(),
            epoch: config.epoch.to_string(),
            config,
        }
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
    /// The root context that ticks: one for the VM, the newest.
    ticking: Cell<Option<u32>>,
    /// Whether it ticks quickly.
    is_quick: Cell<bool>,
    pub(crate) waiting: Waiting,
}

impl Vm {
    /// Without a configuration.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            current: RefCell::new(None),
            metrics: Metrics::new(),
            ticking: Cell::new(None),
            is_quick: Cell::new(false),
            waiting: Waiting::new(),
        }
    }

    /// The configuration in use.
    #[must_use]
    pub fn current(&self) -> Option<Rc<Current>> {
        self.current.borrow().clone()
    }

    /// Takes over the plugin configuration of a new root context, unless it is
    /// older than the one in use: roots of several listeners may be configured
    /// in any order. An equal epoch does replace, for configurations that are
    /// kept by hand.
    pub fn configure(&self, host: &impl Host, root: u32) -> Configured {
        self.note(self.metrics.define(host));
        self.tick_with(host, root);
        let read = host
            .plugin_configuration()
            .map_err(|error| error.to_string())
            .and_then(|json| FilterConfig::from_json(&json).map_err(|error| error.to_string()));
        let decoded = match read {
            Ok(decoded) => decoded,
            Err(error) => {
                self.metrics.add(Counter::ConfigRejected, 1);
                let kept = match self.current() {
                    Some(current) => format!("epoch {} stays", current.epoch),
                    None => "none before it".to_owned(),
                };
                host.log(
                    LogLevel::Error,
                    &format!("yorkies: configuration rejected, {kept}: {error}"),
                );
                // A VM that refuses never ticks: this is its only chance to be counted.
                self.note(self.metrics.flush(host));
                return Configured {
                    can_serve: self.current.borrow().is_some(),
                    internal: false,
                };
            }
        };
        if !decoded.ignored.is_empty() {
            let fields = decoded.ignored.len();
            self.metrics
                .add(Counter::ConfigIgnoredFields, fields as u64);
            let named: Vec<_> = decoded.ignored.iter().take(MAX_NAMED_FIELDS).collect();
            host.log(
                LogLevel::Warn,
                &format!("yorkies: {fields} unknown fields ignored, first {named:?}"),
            );
        }
        let internal = decoded.config.internal;
        self.replace(
            host,
            FilterConfig {
                internal: false,
                ..decoded.config
            },
        );
        Configured {
            can_serve: true,
            internal,
        }
    }

    fn replace(&self, host: &impl Host, config: FilterConfig) {
        if let Some(current) = self.current()
            && config.epoch < current.config.epoch
        {
            self.metrics.add(Counter::ConfigStale, 1);
            host.log(
                LogLevel::Warn,
                &format!(
                    "yorkies: configuration of epoch {} ignored, epoch {} is in use",
                    config.epoch, current.epoch
                ),
            );
            return;
        }
        self.metrics.add(Counter::ConfigUpdates, 1);
        if let Some(current) = self.current()
            && config == current.config
        {
            // Told once for each listener: a table that is built is kept.
            return;
        }
        host.log(
            LogLevel::Debug,
            &format!("yorkies: epoch {} in use", config.epoch),
        );
        *self.current.borrow_mut() = Some(Rc::new(Current::new(config)));
    }

    /// The tick of a root context.
    pub fn tick(&self, host: &impl Host, root: u32) {
        if self.ticking.get() != Some(root) {
            self.note(host.set_tick_period(Duration::ZERO));
            return;
        }
        let refused = stream::refuse_overdue(self, host, root);
        self.note(refused.map(|_| ()));
        let is_quick = refused.unwrap_or(false);
        if self.is_quick.replace(is_quick) != is_quick {
            let period = if is_quick { QUICK_TICK } else { TICK };
            self.note(host.set_tick_period(period));
        }
        self.note(self.metrics.flush(host));
    }

    /// The end of a root context.
    pub fn done(&self, host: &impl Host, root: u32) {
        // Envoy would go on with the timer of a root that is gone.
        self.note(host.set_tick_period(Duration::ZERO));
        if self.ticking.get() == Some(root) {
            self.ticking.set(None);
            self.note(self.metrics.flush(host));
        }
    }

    /// Lets counters flow while no root ticks: the newest is gone, and Envoy went
    /// back to an older one, which it does without configuring it.
    pub(crate) fn keep_ticking(&self, host: &impl Host, root: u32) {
        if self.ticking.get().is_none() {
            self.tick_with(host, root);
        }
    }

    fn tick_with(&self, host: &impl Host, root: u32) {
        self.note(host.set_tick_period(TICK));
        self.is_quick.set(false);
        self.ticking.set(Some(root));
    }

    pub(crate) fn note(&self, result: Result<(), HostError>) {
        if result.is_err() {
            self.metrics.add(Counter::HostErrors, 1);
        }
    }
}

#[cfg(test)]
mod tests;
