//! What a person reads of rebalances as they happen.

use sharding::{Drain, FilterConfig};
use tracing::{debug, info, warn};

use crate::rebalance::record::{Outcome, Record};
use crate::rebalance::view::Behind;

/// Proxies that a log line names.
const MAX_NAMED: usize = 20;

pub(super) fn publication(config: &FilterConfig) {
    let epoch = config.epoch;
    match config.drain {
        Drain::Hold => info!(
            epoch,
            members = config.members.as_ref().map_or(0, |roster| roster.members().len()),
            policy = %config.policy,
            "Assignment changed"
        ),
        Drain::Release { window_ms } => info!(epoch, window_ms, "Drain released"),
    }
}

pub(super) fn end(record: &Record) {
    let changes: Vec<String> = record.changes.iter().map(ToString::to_string).collect();
    let Record {
        epoch,
        drained,
        settle_ms,
        hold_ms,
        drain_ms,
        ..
    } = record;
    let outcome = record.outcome.map(Outcome::name);
    info!(
        epoch,
        outcome,
        changes = changes.join(", "),
        drained,
        settle_ms,
        hold_ms,
        drain_ms,
        "Rebalance ended"
    );
    if !record.left_behind.is_empty() {
        warn!(
            epoch,
            proxies = names(&record.left_behind),
            "Proxies left behind"
        );
    }
    match record.outcome {
        Some(Outcome::Incomplete) => warn!(
            epoch,
            proxies = names(&record.missing),
            "Proxies may still have misplaced streams"
        ),
        _ if !record.missing.is_empty() => {
            debug!(
                epoch,
                proxies = names(&record.missing),
                "Proxies are missing"
            );
        }
        _ => {}
    }
}

fn names(behind: &[Behind]) -> String {
    let mut names: Vec<String> = behind
        .iter()
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect();
    if behind.len() > MAX_NAMED {
        names.push(format!("and {} more", behind.len() - MAX_NAMED));
    }
    names.join(", ")
}
