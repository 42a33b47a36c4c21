//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sharding::Resource;

use crate::api::Owner;
use crate::commands::{self, View};
use crate::config::{Config, Log};
use crate::health::Order;

mod log;
mod server;
mod source;

use log::LogFlags;
use server::Server;
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
        #[command(flatten)]
        log: LogFlags,
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
        #[command(flatten)]
        server: Server,
        /// Go on, with a look each second, until interrupted.
        #[arg(long)]
        watch: bool,
        /// Show how far each proxy is with each type of resource instead.
        #[arg(long, conflicts_with = "json")]
        proxies: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Order what becomes of a member of a running server.
    Member {
        /// `drain`: serve without it, for a maintenance; its streams end, and it stays known.
        /// `undrain`: serve with it again. `readmit`: let it back that was ejected.
        #[arg(value_enum)]
        order: OrderArg,
        /// Its id.
        id: String,
        #[command(flatten)]
        server: Server,
    },
    /// Succeed once a running server serves a roster: a health check.
    Ready {
        #[command(flatten)]
        server: Server,
    },
    /// Ask Yorkie for the public key of its default project.
    DefaultProject(commands::DefaultProject),
    /// Register a member with a running control plane for as long as a command runs, or until SIGTERM or SIGINT.
    ///
    /// The command gets the signals, and its exit code is passed on.
    Register {
        #[command(flatten)]
        asked: Box<commands::RegisterAsked>,
        #[command(flatten)]
        server: Server,
    },
    /// Print an Envoy bootstrap.
    Bootstrap {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        asked: commands::BootstrapAsked,
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
enum ResourceArg {
    Document,
    Channel,
    Client,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderArg {
    Drain,
    Undrain,
    Readmit,
}

impl From<OrderArg> for Order {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::Drain => Self::Drain,
            OrderArg::Undrain => Self::Undrain,
            OrderArg::Readmit => Self::Readmit,
        }
    }
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
            Command::Serve { config, log: flags } => {
                let loaded = config.load()?;
                let is_told = flags.has_filter();
                let log = flags.over(loaded.log.clone());
                let relog = Some(log::start(&log)?).filter(|_| !is_told);
                commands::serve(loaded, log, &config.path, relog)
            }
            Command::Validate { config } => commands::validate(&config.load()?),
            Command::Owner {
                source,
                resource,
                raw,
                keys,
            } => {
                let resource = (!raw).then(|| resource.into());
                let assignment = source.assignment()?;
                let owner = |key: &String| Ok(Owner::of(&assignment, key, resource)?);
                commands::owners(keys.iter().map(owner))
            }
            Command::Table { source } => commands::table(&source.assignment()?),
            Command::Plan {
                source,
                change,
                json,
            } => {
                let planned = source.plan(&change.proposal()?)?;
                commands::plan(&planned, json)
            }
            Command::Status {
                server,
                watch,
                proxies,
                json,
            } => {
                let view = match (json, proxies) {
                    (true, _) => View::Json,
                    (false, true) => View::Proxies,
                    (false, false) => View::Screen,
                };
                commands::status(&server.running()?, watch, view)
            }
            Command::Member { order, id, server } => {
                commands::member(&server.running()?, order.into(), &id)
            }
            Command::Ready { server } => commands::ready(&server.running()?),
            Command::DefaultProject(asked) => commands::default_project(&asked),
            Command::Register { asked, server } => {
                drop(log::start(&Log::default())?);
                return commands::register(*asked, move || server.running());
            }
            Command::Bootstrap { config, asked } => commands::bootstrap(&config.load()?, asked),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests;
