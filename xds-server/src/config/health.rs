//! How it is found out whether members can serve, and what becomes of those
//! that cannot.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;
use serde::{Deserialize, Serialize};

use super::check::{Problem, in_range};

/// Checks of the members by the control plane, and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What a member is asked.
    pub check: Check,
    /// Port that is asked. Left out, the one where the member serves.
    #[serde(default)]
    pub port: Option<u16>,
    /// Where a member tells when its process was started.
    #[serde(default)]
    pub incarnation: Option<Incarnation>,
    /// Between two checks of a member, give or take a tenth: 10 milliseconds to
    /// an hour.
    #[serde(default = "interval", with = "humantime_serde")]
    pub interval: Duration,
    /// Longest wait for an answer, from the connection on: up to `interval`.
    #[serde(default = "timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// Checks in a row that have to fail before a member is ejected: 2 to 100.
    #[serde(default = "fail_after")]
    pub fail_after: u32,
    /// Checks in a row that have to pass before a member serves: 1 to 100.
    #[serde(default = "pass_after")]
    pub pass_after: u32,
    /// Observers that have to find a member dead before it is ejected: the
    /// checks are one, and each proxy is one while requests through it do not
    /// reach the member. Left out, 2 while any proxy reports, else 1.
    #[serde(default)]
    pub quorum: Option<u32>,
    /// What lets an ejected member back that passes its checks again, beside
    /// `xds-server member readmit`. One that was started anew comes back at once,
    /// unless this is `manual`. Left out, `new_incarnation` for members whose
    /// incarnation is known, and `after` half a minute for others.
    #[serde(default)]
    pub readmit: Option<Readmit>,
    /// Most members that are ejected at a time, in percent of those that could
    /// serve: at least one, and never the last. If more fail, nobody is ejected:
    /// then it is more likely the checks that fail.
    #[serde(default = "max_ejected")]
    pub max_ejected: u32,
    /// How those are slowed down that come and go.
    #[serde(default)]
    pub damping: Damping,
}

/// What a member is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// `GET` of this path over HTTP/1.1 is answered with 200 to 299. Yorkie has
    /// `/yorkie.v1.YorkieService/health`.
    Http(String),
    /// `grpc.health.v1.Health/Check` of this service, which may be empty, over
    /// HTTP/2 is answered with `SERVING`.
    Grpc(String),
    /// It takes a connection.
    Tcp,
}

/// Where a member tells when its process was started: as
/// `process_start_time_seconds` among metrics in the text format of Prometheus.
/// An incarnation that the registry knows counts more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Incarnation {
    /// Path of the metrics.
    pub path: String,
    /// Their port. Yorkie has them at 8081. Left out, the one that is checked.
    pub port: Option<u16>,
}

/// What lets an ejected member back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readmit {
    /// Only another incarnation: what a server has cached does not become less
    /// stale by waiting.
    NewIncarnation,
    /// Checks that pass for that long.
    After(#[serde(with = "humantime_serde")] Duration),
    /// Only a person, and not another incarnation either.
    Manual,
}

/// How long a member has to wait that was ejected before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Damping {
    /// Wait after the second ejection; each further one doubles it. The first
    /// has none.
    #[serde(with = "humantime_serde")]
    pub first: Duration,
    /// Longest wait.
    #[serde(with = "humantime_serde")]
    pub longest: Duration,
    /// After that long without an ejection, earlier ones do not count.
    #[serde(with = "humantime_serde")]
    pub memory: Duration,
}

impl Default for Incarnation {
    fn default() -> Self {
        Self {
            path: "/metrics".to_owned(),
            port: None,
        }
    }
}

impl Default for Damping {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            longest: Duration::from_mins(5),
            memory: Duration::from_mins(10),
        }
    }
}

fn interval() -> Duration {
    Duration::from_secs(2)
}

fn timeout() -> Duration {
    Duration::from_secs(1)
}

fn fail_after() -> u32 {
    3
}

fn pass_after() -> u32 {
    1
}

fn max_ejected() -> u32 {
    34
}

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
const WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

pub(super) fn check(health: &Health) -> Result<(), Problem> {
    in_range("health.interval", health.interval, &INTERVALS)?;
    let upto = Duration::from_millis(1)..=health.interval;
    in_range("health.timeout", health.timeout, &upto)?;
    // One failure of all at the same time is told from one of one only by the second.
    number("health.fail_after", health.fail_after, 2, 100)?;
    number("health.pass_after", health.pass_after, 1, 100)?;
    number("health.max_ejected", health.max_ejected, 0, 100)?;
    if let Some(quorum) = health.quorum {
        number("health.quorum", quorum, 1, u32::MAX)?;
    }
    if let Check::Http(path) = &health.check {
        check_path("health.check", path)?;
    }
    if let Some(incarnation) = &health.incarnation {
        check_path("health.incarnation.path", &incarnation.path)?;
        check_port("health.incarnation.port", incarnation.port)?;
    }
    check_port("health.port", health.port)?;
    if let Some(Readmit::After(wait)) = health.readmit {
        in_range("health.readmit", wait, &WAITS)?;
    }
    let Damping {
        first,
        longest,
        memory,
    } = health.damping;
    in_range("health.damping.longest", longest, &WAITS)?;
    in_range("health.damping.first", first, &(Duration::ZERO..=longest))?;
    in_range("health.damping.memory", memory, &WAITS)
}

fn number(setting: &'static str, value: u32, least: u32, most: u32) -> Result<(), Problem> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let reason = format!("{value} is not usable: expected {least} to {most}");
    Err((setting, reason))
}

fn check_path(setting: &'static str, path: &str) -> Result<(), Problem> {
    if path.starts_with('/') && path.parse::<PathAndQuery>().is_ok() {
        return Ok(());
    }
    let reason = format!("{path:?} is not usable: expected a path, such as /healthz");
    Err((setting, reason))
}

fn check_port(setting: &'static str, port: Option<u16>) -> Result<(), Problem> {
    if port == Some(0) {
        let reason = "0 is not usable: expected 1 to 65535".to_owned();
        return Err((setting, reason));
    }
    Ok(())
}
