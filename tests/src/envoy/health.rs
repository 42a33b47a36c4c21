//! What must hold of every Envoy when it is killed and when a test ends.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::Admin;

/// Ends of the names of counters that only faults of ours make grow: refused
/// configurations.
const REFUSALS: [&str; 2] = [".update_rejected", ".init_fetch_timeout"];

/// The same of the filter: refused configurations, machines that crashed, host
/// calls that failed.
const FILTER_FAULTS: [&str; 10] = [
    ".config_fail",
    ".config_conflict",
    ".vm_reload",
    ".vm_reload_backoff",
    ".vm_reload_failure",
    ".vm_reload_success",
    "yorkies.config.rejected",
    "yorkies.config.ignored_fields",
    "yorkies.host.errors",
    "yorkies.requests.refused.host",
];

/// Marks of a filter that failed, in Envoy's log.
const BAD_LINES: [&str; 3] = ["[critical]", "[error][wasm]", "panicked at"];

/// What an Envoy gets from a control plane, and so has to have counters of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    configuration: bool,
    filter: bool,
}

impl Served {
    /// What an Envoy with that bootstrap asks for.
    pub(super) fn by(bootstrap: &str) -> Self {
        let has = |name| bootstrap.contains(name);
        Self {
            configuration: has("cds_config"),
            filter: has("lds_config") || has("config_discovery"),
        }
    }

    /// Those counters. One that was renamed would never show a fault again.
    fn counters(self) -> impl Iterator<Item = &'static str> {
        let refusals = REFUSALS.iter().filter(move |_| self.configuration);
        let filter_faults = FILTER_FAULTS.iter().filter(move |_| self.filter);
        refusals.chain(filter_faults).copied()
    }
}

pub(super) async fn check_stats(admin: &Admin, served: Served) -> Result<()> {
    let stats = admin.stats().await?;
    expect_no_faults(&stats)?;
    // Before it is ready it may not have got what it counts.
    if admin.ready().await.is_ok() {
        expect_counters(&admin.stats().await?, served)?;
    }
    Ok(())
}

fn expect_no_faults(stats: &BTreeMap<String, u64>) -> Result<()> {
    ensure!(!stats.is_empty(), "Envoy shows no stats");
    let all = || REFUSALS.iter().chain(&FILTER_FAULTS);
    let faults: Vec<_> = stats
        .iter()
        .filter(|(name, value)| **value > 0 && all().any(|fault| name.ends_with(fault)))
        .collect();
    ensure!(faults.is_empty(), "Envoy counts faults: {faults:?}");
    Ok(())
}

fn expect_counters(stats: &BTreeMap<String, u64>, served: Served) -> Result<()> {
    let missing: Vec<_> = served
        .counters()
        .filter(|counter| !stats.keys().any(|name| name.ends_with(counter)))
        .collect();
    ensure!(missing.is_empty(), "Envoy does not count {missing:?}");
    Ok(())
}

pub(super) fn check_log(log: &str) -> Result<()> {
    let is_bad = |line: &&str| BAD_LINES.iter().any(|mark| line.contains(mark));
    let bad: Vec<_> = log.lines().filter(is_bad).take(5).collect();
    ensure!(bad.is_empty(), "Envoy logs faults: {bad:#?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVED: Served = Served {
        configuration: true,
        filter: true,
    };

    fn stats(faults: u64) -> BTreeMap<String, u64> {
        let named = |name| (format!("anything{name}"), faults);
        SERVED.counters().map(named).collect()
    }

    #[test]
    fn every_counter_of_faults_has_to_be_there_and_zero() {
        assert!(expect_no_faults(&stats(0)).is_ok());
        assert!(expect_counters(&stats(0), SERVED).is_ok());
        for name in stats(0).into_keys() {
            let mut stats = stats(0);
            stats.insert(name.clone(), 1);
            assert!(expect_no_faults(&stats).is_err(), "{name}");
            stats.remove(&name);
            assert!(expect_counters(&stats, SERVED).is_err(), "{name}");
        }
    }

    #[test]
    fn an_envoy_has_counters_of_what_its_bootstrap_asks_for() {
        let missing = |bootstrap| {
            let error = expect_counters(&BTreeMap::new(), Served::by(bootstrap));
            error.map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(missing("static_resources: {}"), "");
        let clusters_only = missing("cds_config: {}");
        assert!(clusters_only.contains(".update_rejected"));
        assert!(!clusters_only.contains(".vm_reload"));
        assert!(missing("config_discovery: {}").contains(".vm_reload"));
    }
}
