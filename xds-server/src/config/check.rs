//! What the types of the settings alone cannot refuse.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{
    Config, cors, grpc_clients, health, keys, listener, log, rebalance, registry, upstream, xds,
};
use crate::bootstrap::XDS_CLUSTER;
use crate::resources::UNROUTABLE;

/// Envoy counts in milliseconds and refuses durations beyond its own range;
/// nobody means to wait longer than this.
pub(super) const DURATIONS: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_hours(1);

/// A setting by its dotted path, and what is wrong with it.
pub(super) type Problem = (&'static str, String);

/// Finds the first setting that cannot work.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    xds::check(&config.xds)?;
    registry::check(config)?;
    config.health.as_ref().map_or(Ok(()), health::check)?;
    check_cluster(&config.cluster)?;
    check_reports(config)?;
    in_range("body_timeout", config.body_timeout, &DURATIONS)?;
    upstream::check(&config.upstream)?;
    config.listener.as_ref().map_or(Ok(()), listener::check)?;
    grpc_clients::check(config)?;
    cors::check(&config.cors)?;
    log::check(&config.log)?;
    rebalance::check(&config.rebalance)?;
    rebalance::check_drain(&config.drain)?;
    if config.filter.module_on_proxy.as_deref() == Some("") {
        return Err((
            "filter.module_on_proxy",
            "\"\" is not usable: expected a path, or leave it out".to_owned(),
        ));
    }
    let mut paths = BTreeSet::new();
    for rule in &config.key_rules {
        if !paths.insert(rule.path.to_string()) {
            let path = &rule.path;
            return Err(("key_rules", format!("path {path} is given twice")));
        }
    }
    keys::check(config)
}

/// Refuses a duration outside of `range`.
pub(super) fn in_range(
    setting: &'static str,
    value: Duration,
    range: &RangeInclusive<Duration>,
) -> Result<(), Problem> {
    if range.contains(&value) {
        return Ok(());
    }
    let shown = humantime::format_duration;
    let (value, from, to) = (shown(value), shown(*range.start()), shown(*range.end()));
    Err((
        setting,
        format!("{value} is not usable: expected {from} to {to}"),
    ))
}

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn check_cluster(name: &str) -> Result<(), Problem> {
    let problem = if !is_name(name) {
        "expected visible ASCII characters"
    } else if [XDS_CLUSTER, UNROUTABLE].contains(&name) {
        "the name has a meaning of its own"
    } else {
        return Ok(());
    };
    Err(("cluster", format!("{name:?} is not usable: {problem}")))
}

fn check_reports(config: &Config) -> Result<(), Problem> {
    let name = &config.reports.cluster;
    let problem = if !is_name(name) {
        "expected visible ASCII characters"
    } else if *name == config.cluster {
        "it is the cluster of the members, expected that of the control plane"
    } else {
        return Ok(());
    };
    Err((
        "reports.cluster",
        format!("{name:?} is not usable: {problem}"),
    ))
}
