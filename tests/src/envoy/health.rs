//! What must hold of every Envoy when a test ends.

use anyhow::{Result, ensure};

use super::Admin;

/// Ends of the names of counters that only faults of ours make grow: refused
/// configurations, machines that crashed, host calls that failed.
const FAULTS: [&str; 12] = [
    ".update_rejected",
    ".config_fail",
    ".config_conflict",
    ".init_fetch_timeout",
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

pub(super) async fn check_stats(admin: &Admin) -> Result<()> {
    let stats = admin.stats().await?;
    ensure!(!stats.is_empty(), "Envoy shows no stats");
    let is_fault = |name: &str| FAULTS.iter().any(|fault| name.ends_with(fault));
    let faults: Vec<_> = stats
        .into_iter()
        .filter(|(name, value)| is_fault(name) && *value > 0)
        .collect();
    ensure!(faults.is_empty(), "Envoy counts faults: {faults:?}");
    Ok(())
}

pub(super) fn check_log(log: &str) -> Result<()> {
    let is_bad = |line: &&str| BAD_LINES.iter().any(|mark| line.contains(mark));
    let bad: Vec<_> = log.lines().filter(is_bad).take(5).collect();
    ensure!(bad.is_empty(), "Envoy logs faults: {bad:#?}");
    Ok(())
}
