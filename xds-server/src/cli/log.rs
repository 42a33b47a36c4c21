//! Starts the log.

use std::io::{IsTerminal, stderr};

use anyhow::Context;
use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// What counts more than the configuration.
#[derive(Debug, Args)]
pub(super) struct LogFlags {
    /// Form of the log lines on standard error, instead of `log.format`.
    #[arg(long, env = "YORKIES_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// What to log, instead of `log.filter`: a level, or directives such as `info,xds_server::ads=debug`.
    #[arg(long, env = "YORKIES_LOG")]
    log: Option<String>,
}

impl LogFlags {
    /// The configured log with what these say.
    pub(super) fn over(self, configured: Log) -> Log {
        Log {
            filter: self.log.unwrap_or(configured.filter),
            format: self.log_format.unwrap_or(configured.format),
        }
    }
}

/// Writes to standard error from now on.
pub(super) fn start(log: &Log) -> anyhow::Result<()> {
    let directives = &log.filter;
    let filter = EnvFilter::try_new(directives)
        .with_context(|| format!("--log {directives:?} is not usable"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
