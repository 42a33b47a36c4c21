//! How a rebalance goes about it, and how streams are ended.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use sharding::DEFAULT_UNARY_GRACE_MS;

use super::check::{Problem, in_range};

/// What a rebalance waits for, and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rebalance {
    /// A change counts once nothing more has changed for this long, so that
    /// many at once become one rebalance. Up to a minute.
    #[serde(
        deserialize_with = "duration",
        serialize_with = "humantime_serde::serialize"
    )]
    pub settle: Duration,
    /// But it is not put off for longer than this: `settle` to a minute.
    #[serde(
        deserialize_with = "duration",
        serialize_with = "humantime_serde::serialize"
    )]
    pub settle_max: Duration,
    /// Longest wait for proxies to route by a new assignment before streams are
    /// ended without those that do not. Up to a minute.
    #[serde(
        deserialize_with = "duration",
        serialize_with = "humantime_serde::serialize"
    )]
    pub ack_wait: Duration,
    /// Longest wait, after the window of the drain, for proxies to report that
    /// no stream is misplaced. Up to a minute.
    #[serde(
        deserialize_with = "duration",
        serialize_with = "humantime_serde::serialize"
    )]
    pub finish_wait: Duration,
}

/// How streams that moved are ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Whether they are ended at all; if not, they stay where they are until
    /// they end by themselves.
    pub enabled: bool,
    /// Streams that end per second, over all proxies: sets the length of the
    /// window.
    #[serde(deserialize_with = "rate")]
    pub rate: u32,
    /// Longest window, up to a minute; the longer, the longer a document is
    /// split. `0` ends all streams at once.
    #[serde(
        deserialize_with = "duration",
        serialize_with = "humantime_serde::serialize"
    )]
    pub max_window: Duration,
    /// How long a unary call may go on before it is treated as a stream. Up to
    /// an hour.
    #[serde(
        deserialize_with = "duration",
        serialize_with = "humantime_serde::serialize"
    )]
    pub unary_grace: Duration,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(250),
            settle_max: Duration::from_secs(2),
            ack_wait: Duration::from_secs(2),
            finish_wait: Duration::from_secs(5),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            enabled: true,
            rate: 2000,
            max_window: Duration::from_secs(2),
            unary_grace: Duration::from_millis(DEFAULT_UNARY_GRACE_MS),
        }
    }
}

/// With its unit, but for a plain 0.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is no duration: expected a number with its unit, such as 250ms or 2s"
        ))
    })
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is no rate: expected 1 to {} streams per second",
            u32::MAX
        ))
    })
}

const fn range(from: Duration, to: Duration) -> RangeInclusive<Duration> {
    from..=to
}

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_mins(1);

pub(super) fn check(rebalance: &Rebalance) -> Result<(), Problem> {
    let Rebalance {
        settle,
        settle_max,
        ack_wait,
        finish_wait,
    } = *rebalance;
    in_range("rebalance.settle", settle, &range(Duration::ZERO, MINUTE))?;
    in_range("rebalance.settle_max", settle_max, &range(settle, MINUTE))?;
    in_range("rebalance.ack_wait", ack_wait, &range(MS, MINUTE))?;
    in_range("rebalance.finish_wait", finish_wait, &range(MS, MINUTE))
}

pub(super) fn check_drain(drain: &Drain) -> Result<(), Problem> {
    if drain.rate == 0 {
        return Err((
            "drain.rate",
            "0 is not usable: expected at least 1 stream per second, or enabled: false".to_owned(),
        ));
    }
    let upto = |to| range(Duration::ZERO, to);
    in_range("drain.max_window", drain.max_window, &upto(MINUTE))?;
    let hour = Duration::from_hours(1);
    in_range("drain.unary_grace", drain.unary_grace, &upto(hour))
}
