//! The command line.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sharding::Resource;
use tracing_subscriber::EnvFilter;

use crate::bootstrap::{HostPort, Mode};
use crate::client::ServerUrl;
use crate::commands;
use crate::config::Config;

mod source;

use source::{AssignmentSource, Change, PlanSource};

/// Control plane of Yorkies: feeds stock Envoy the members of a sharded
/// document service.
#[derive(Debug, Parser)]
#[command(name = "xds-server", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve proxies until SIGTERM or SIGINT.
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// Form of the log lines on standard error.
        #[arg(long, env = "YORKIES_LOG_FORMAT", value_enum, default_value = "text")]
        log_format: LogFormat,
        /// What to log: a level, or directives such as `info,xds_server::ads=debug`.
        #[arg(long, env = "YORKIES_LOG", default_value = "info")]
        log: String,
    },
    /// Check a configuration and every file that it names.
    Validate {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Print the owner of each key, a JSON line a key.
    Owner {
        #[command(flatten)]
        source: AssignmentSource,
        /// What the keys name: channels are cut at their first dot.
        #[arg(long, value_enum, default_value = "document")]
        resource: ResourceArg,
        /// Take the keys as they stand, as for fixed keys such as `auth-session`.
        #[arg(long, conflicts_with = "resource")]
        raw: bool,
        /// Shard keys, `project/document`.
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Print the Maglev table, an owner a slot, or the ring as `hash owner`.
    Table {
        #[command(flatten)]
        source: AssignmentSource,
    },
    /// Say what a change of members or policy would move: keys, from whom to whom, and open streams.
    Plan {
        #[command(flatten)]
        source: PlanSource,
        #[command(flatten)]
        change: Change,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a running server does: members, proxies, rebalances.
    Status {
        /// Its admin interface.
        #[arg(long, value_name = "URL", env = "YORKIES_ADMIN", default_value_t = ServerUrl::local_admin())]
        admin: ServerUrl,
        /// Go on, with a look each second, until interrupted.
        #[arg(long)]
        watch: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Succeed once a running server serves a roster: a health check.
    Ready {
        /// Its admin interface.
        #[arg(long, value_name = "URL", env = "YORKIES_ADMIN", default_value_t = ServerUrl::local_admin())]
        admin: ServerUrl,
    },
    /// Ask Yorkie for the public key of its default project.
    DefaultProject(commands::DefaultProject),
    /// Register a member with a running control plane for as long as a command runs, or until SIGTERM or SIGINT.
    ///
    /// The command gets the signals, and its exit code is passed on.
    Register(Box<commands::Register>),
    /// Print an Envoy bootstrap.
    Bootstrap {
        #[command(flatten)]
        config: ConfigFile,
        /// Variant of the xDS protocol.
        #[arg(long, value_enum, default_value = "delta")]
        mode: Mode,
        /// Node id of the proxy, for logs.
        #[arg(long, default_value = "envoy")]
        node: String,
        /// Where the proxy finds the control plane; default: `xds.advertise`, else `xds.listen`.
        #[arg(long, value_name = "HOST:PORT")]
        xds: Option<HostPort>,
        /// Where Envoy's admin interface listens.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9901")]
        admin: HostPort,
    },
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long = "config", value_name = "FILE", env = "YORKIES_CONFIG")]
    path: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.path)?)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResourceArg {
    Document,
    Channel,
    Client,
}

impl From<ResourceArg> for Resource {
    fn from(resource: ResourceArg) -> Self {
        match resource {
            ResourceArg::Document => Self::Document,
            ResourceArg::Channel => Self::Channel,
            ResourceArg::Client => Self::Client,
        }
    }
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Whatever kept it from that, for a person to read.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve {
                config,
                log_format,
                log,
            } => {
                start_log(log_format, &log)?;
                commands::serve(config.load()?)
            }
            Command::Validate { config } => commands::validate(&config.load()?),
            Command::Owner {
                source,
                resource,
                raw,
                keys,
            } => {
                let resource = (!raw).then(|| resource.into());
                commands::owner(&source.assignment()?, resource, &keys)
            }
            Command::Table { source } => commands::table(&source.assignment()?),
            Command::Plan {
                source,
                change,
                json,
            } => {
                let basis = source.basis()?;
                let after = change.apply(&basis.before)?;
                commands::plan(&basis, &after, json)
            }
            Command::Status { admin, watch, json } => commands::status(&admin, watch, json),
            Command::Ready { admin } => commands::ready(&admin),
            Command::DefaultProject(asked) => commands::default_project(&asked),
            Command::Register(asked) => {
                start_log(LogFormat::Text, "info")?;
                return commands::register(*asked);
            }
            Command::Bootstrap {
                config,
                mode,
                node,
                xds,
                admin,
            } => commands::bootstrap(&config.load()?, mode, node, xds, admin),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn start_log(format: LogFormat, directives: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(directives)
        .with_context(|| format!("--log {directives:?} is not usable"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
