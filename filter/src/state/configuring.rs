//! How a VM comes by its configuration: from Envoy, or, when it is of an older
//! module, from the VMs of the newer.

use std::rc::Rc;

use sharding::{Decoded, Drain, FilterConfig};

use super::{Configured, Current, Vm};
use crate::drain::Comes;
use crate::handover::{Head, publish};
use crate::host::{Host, LogLevel};
use crate::metrics::Counter;

/// Unknown fields that a log line names.
const MAX_NAMED_FIELDS: usize = 8;

impl Vm {
    /// Takes over the plugin configuration of a new root context, unless it is
    /// older than the one in use: roots of several listeners may be configured
    /// in any order. An equal epoch does replace, for configurations that are
    /// kept by hand.
    pub fn configure(&self, host: &impl Host, root: u32) -> Configured {
        self.note(self.metrics.define(host));
        self.begin(root);
        let json = host.plugin_configuration();
        let read = match &json {
            Ok(json) => FilterConfig::from_json(json).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let mut internal = false;
        if let Some(decoded) = self.accept(host, read) {
            self.handover.configured();
            internal = decoded.config.internal;
            let head = Head::of(&decoded.config);
            self.replace(host, root, decoded.config, false);
            if let Ok(json) = json {
                self.note(publish(host, head, &json));
            }
        }
        // Not every VM ticks.
        self.note(self.metrics.flush(host));
        Configured {
            can_serve: self.current.borrow().is_some(),
            internal,
        }
    }

    /// Takes over a configuration that VMs of a newer module got.
    pub(super) fn follow(&self, host: &impl Host, root: u32) {
        let Some(current) = self.current() else {
            return;
        };
        match self.handover.look(host, Head::of(&current.config)) {
            Ok(None) => {}
            Err(error) => self.note(Err(error)),
            Ok(Some((head, json))) => {
                let read = FilterConfig::from_json(&json).map_err(|error| error.to_string());
                match self.accept(host, read) {
                    Some(decoded) => self.replace(host, root, decoded.config, true),
                    None => self.handover.refuse(head),
                }
            }
        }
    }

    fn accept(&self, host: &impl Host, read: Result<Decoded, String>) -> Option<Decoded> {
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
                return None;
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
        Some(decoded)
    }

    /// `is_late`: it was meant for VMs of a newer module.
    fn replace(&self, host: &impl Host, root: u32, config: FilterConfig, is_late: bool) {
        let before = self.current();
        if let Some(before) = &before
            && config.epoch < before.config.epoch
        {
            self.metrics.add(Counter::ConfigStale, 1);
            host.log(
                LogLevel::Warn,
                &format!(
                    "yorkies: configuration of epoch {} ignored, epoch {} is in use",
                    config.epoch, before.epoch
                ),
            );
            self.tell_again(host, root);
            return;
        }
        self.metrics.add(Counter::ConfigUpdates, 1);
        let is_new = !before
            .as_ref()
            .is_some_and(|before| before.has_same_assignment(&config));
        let drain = match &before {
            // The root of another listener is told later: what was released stays so.
            Some(before) if !is_new && config.drain == Drain::Hold => before.config.drain,
            _ => config.drain,
        };
        let config = FilterConfig {
            internal: false,
            drain,
            ..config
        };
        if before
            .as_ref()
            .is_some_and(|before| before.config == config)
        {
            // Told once for each listener: a table that is built is kept.
            return;
        }
        host.log(
            LogLevel::Debug,
            &format!("yorkies: epoch {} in use", config.epoch),
        );
        let current = Rc::new(Current::new(config, before.as_deref()));
        *self.current.borrow_mut() = Some(Rc::clone(&current));
        self.assigned(host, root, &current, Comes { is_new, is_late });
    }
}
