//! What is logged, and how.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::check::Problem;

/// The log, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// What is logged: a level, or directives such as
    /// `info,xds_server::ads=debug`.
    pub filter: String,
    /// Form of the lines.
    pub format: LogFormat,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::default(),
        }
    }
}

pub(super) fn check(log: &Log) -> Result<(), Problem> {
    let filter = &log.filter;
    let parsed = EnvFilter::try_new(filter);
    parsed.map(drop).map_err(|error| {
        let problem = format!("{filter:?} is not usable: {error}");
        ("log.filter", problem)
    })
}
