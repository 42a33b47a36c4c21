//! What a running control plane does, on one screen.

use std::io::{self, IsTerminal, Write};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::screen::{percent, plain, table, time};
use crate::api::{RebalanceStatus, STATUS_PATH, Status};
use crate::client::{ClientError, RunningServer};
use crate::health::MemberState;
use crate::rebalance::machine::Stage;
use crate::rebalance::{Behind, Change, Outcome, Record};

mod by_type;
mod proxies;

use proxies::proxies;

/// Between two looks.
const WATCH: Duration = Duration::from_secs(1);

/// Clears a terminal and goes to its first line (ECMA-48, ED and CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Rows of one table: a screen, not a listing; `--json` has all.
const MAX_ROWS: usize = 50;

/// Changes and proxies that one row names.
const MAX_NAMED: usize = 3;

/// What of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Everything, on a screen.
    Screen,
    /// How far each proxy is with each type.
    Proxies,
    /// Everything, as JSON.
    Json,
}

/// Prints the status, once or again and again.
pub(crate) fn status(server: &RunningServer, watch: bool, view: View) -> anyhow::Result<()> {
    let json = view == View::Json;
    loop {
        let status: Result<Status, ClientError> = server.get(STATUS_PATH);
        let text = match status {
            Ok(status) => match view {
                View::Json => serde_json::to_string(&status)? + "\n",
                View::Proxies => by_type::by_type(&status),
                View::Screen => screen(&status, unix_ms()),
            },
            Err(error) if watch && !json => format!("{:#}\n", anyhow::Error::from(error)),
            Err(error) => return Err(error.into()),
        };
        let mut out = io::stdout().lock();
        if watch && !json && out.is_terminal() {
            out.write_all(CLEAR.as_bytes())?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !watch {
            return Ok(());
        }
        sleep(WATCH);
    }
}

fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since_epoch.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn screen(status: &Status, now_ms: u64) -> String {
    let mut parts = vec![head(status)];
    if !status.members.is_empty() {
        parts.push(members(status));
    }
    if !status.proxies.is_empty() {
        parts.push(proxies(status) + unreported(status));
    }
    if !status.last.is_empty() {
        parts.push(rebalances(status, now_ms));
    }
    parts.join("\n\n") + "\n"
}

fn head(status: &Status) -> String {
    let (Some(epoch), Some(policy)) = (status.epoch, status.policy) else {
        return format!("xds-server {}: waits for a first roster", status.version);
    };
    let stage = match (status.stage, &status.rebalance) {
        (Stage::Stable, _) => "stable".to_owned(),
        (Stage::Settling, _) => "settling: a change waits for further ones".to_owned(),
        (Stage::Holding, Some(RebalanceStatus { record, .. })) => format!(
            "holding for {}, until all proxies route by it{}",
            time(record.hold_ms.unwrap_or_default()),
            missing(&record.left_behind)
        ),
        (Stage::Draining, Some(RebalanceStatus { record, .. })) => format!(
            "draining for {}, {} ended{}",
            time(record.drain_ms.unwrap_or_default()),
            record.drained,
            missing(&record.missing)
        ),
        (Stage::Holding, None) => "holding".to_owned(),
        (Stage::Draining, None) => "draining".to_owned(),
    };
    let under_way = status
        .rebalance
        .as_ref()
        .map_or_else(String::new, |rebalance| {
            let split = rebalance.split_ms.map_or_else(String::new, |split| {
                format!("; a document is split for {} at most", time(split))
            });
            format!(" ({}{split})", changes(&rebalance.record.changes))
        });
    let pending = if status.pending && status.stage != Stage::Settling {
        "; another change waits"
    } else {
        ""
    };
    format!("epoch {epoch}, {policy}\n{stage}{under_way}{pending}")
}

fn missing(behind: &[Behind]) -> String {
    if behind.is_empty() {
        return String::new();
    }
    format!("; waits for {}", names(behind))
}

fn members(status: &Status) -> String {
    // Where all is well it says nothing.
    let has_states = status
        .members
        .iter()
        .any(|member| member.state != MemberState::Serving);
    let rows = status.members.iter().take(MAX_ROWS).map(|member| {
        let mut row = vec![
            member.id.clone(),
            member.address.to_string(),
            member.weight.to_string(),
            member.share.map_or_else(String::new, percent),
            member.open.to_string(),
        ];
        if has_states {
            let why = member.why.as_deref().map(|why| format!(": {}", plain(why)));
            row.push(member.state.name().to_owned() + &why.unwrap_or_default());
        }
        row
    });
    let header = [
        "MEMBER",
        "ADDRESS",
        "WEIGHT",
        "KEYS",
        "OPEN STREAMS",
        "STATE",
    ];
    let header = &header[..header.len() - usize::from(!has_states)];
    table(header, &[2, 3, 4], rows.collect()) + &rest(status.members.len())
}

fn unreported(status: &Status) -> &'static str {
    if status.unreported {
        "\n  no VM reports: releases rest on accepted updates alone"
    } else {
        ""
    }
}

fn rebalances(status: &Status, now_ms: u64) -> String {
    let rows = status
        .last
        .iter()
        .map(|RebalanceStatus { record, split_ms }| {
            let ago = Duration::from_secs(now_ms.saturating_sub(record.started_unix_ms) / 1000);
            let moved = record
                .plan
                .map_or_else(String::new, |plan| percent(plan.moved));
            vec![
                format!("{} ago", humantime::format_duration(ago)),
                changes(&record.changes),
                moved,
                record.drained.to_string(),
                time_or_dash(*split_ms),
                time_or_dash(record.to_zero_misplaced_ms()),
                remarks(record),
            ]
        });
    let header = [
        "REBALANCE",
        "WHAT CHANGED",
        "MOVED",
        "DRAINED",
        "LONGEST SPLIT",
        "0 MISPLACED AFTER",
        "",
    ];
    table(&header, &[2, 3, 4, 5], rows.collect())
}

fn time_or_dash(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), time)
}

fn remarks(record: &Record) -> String {
    let mut remarks = Vec::new();
    match record.outcome {
        Some(Outcome::Superseded) => remarks.push("taken over by the next".to_owned()),
        Some(Outcome::Held) => remarks.push("draining is off".to_owned()),
        Some(Outcome::Incomplete) => remarks.push(format!("missing: {}", names(&record.missing))),
        Some(Outcome::Done) | None => {}
    }
    if !record.left_behind.is_empty() {
        remarks.push(format!("left behind: {}", names(&record.left_behind)));
    }
    remarks.join("; ")
}

fn changes(changes: &[Change]) -> String {
    few(changes.iter().map(ToString::to_string), changes.len())
}

fn names(behind: &[Behind]) -> String {
    few(behind.iter().map(|b| plain(&b.to_string())), behind.len())
}

fn few(texts: impl Iterator<Item = String>, count: usize) -> String {
    let mut texts: Vec<String> = texts.take(MAX_NAMED).collect();
    if count > MAX_NAMED {
        texts.push(format!("{} more", count - MAX_NAMED));
    }
    texts.join(", ")
}

fn rest(count: usize) -> String {
    match count.saturating_sub(MAX_ROWS) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    }
}

#[cfg(test)]
mod tests;
