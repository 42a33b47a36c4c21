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
    /// Whether what is logged is said here.
    pub(super) fn has_filter(&self) -> bool {
        self.log.is_some()
    }

    /// The configured log with what these say.
    pub(super) fn over(self, configured: Log) -> Log {
        Log {
            filter: self.log.unwrap_or(configured.filter),
            format: self.log_format.unwrap_or(configured.format),
        }
    }
}

/// Changes what is logged.
type SetFilter = Box<dyn Fn(&str) -> anyhow::Result<()> + Send>;

/// Writes to standard error from now on.
pub(super) fn start(log: &Log) -> anyhow::Result<SetFilter> {
    let filter = parse(&log.filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    Ok(match log.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Box::new(move |filter| Ok(handle.reload(parse(filter)?)?))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            lines.init();
            Box::new(move |filter| Ok(handle.reload(parse(filter)?)?))
        }
    })
}

fn parse(directives: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(directives).with_context(|| format!("--log {directives:?} is not usable"))
}
