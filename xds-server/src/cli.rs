//! The command line.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sharding::{Assignment, Member, Policy, Resource, Roster};
use tracing_subscriber::EnvFilter;

use crate::bootstrap::{HostPort, Mode};
use crate::commands;
use crate::config::Config;
use crate::registry;

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
    /// Say which keys a change of members would move, from whom to whom.
    Plan {
        #[command(flatten)]
        source: AssignmentSource,
        #[command(flatten)]
        change: Change,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
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

/// An assignment without a running server: from a configuration, or from a
/// members file alone.
#[derive(Debug, Args)]
struct AssignmentSource {
    /// A configuration file: its registry and policy.
    #[arg(long, value_name = "FILE", required_unless_present = "members")]
    config: Option<PathBuf>,
    /// A members file, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    members: Option<PathBuf>,
    /// `maglev:SIZE` or `ring_hash:MINIMUM:MAXIMUM`, instead of the configuration's [default: maglev:65537]
    #[arg(long)]
    policy: Option<Policy>,
}

impl AssignmentSource {
    fn assignment(&self) -> anyhow::Result<Assignment> {
        let config = self.config.as_deref().map(Config::load).transpose()?;
        let members = self
            .members
            .as_ref()
            .or(config.as_ref().map(|config| &config.registry.file))
            .context("no members: give --config or --members")?;
        let policy = self.policy.or(config.as_ref().map(|config| config.policy));
        let roster = registry::file::load(members)?;
        Ok(Assignment::new(0, policy.unwrap_or_default(), roster))
    }
}

/// A change of the members, on top of each other.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Change {
    /// Start from this members file instead of the present members.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Add a member, or give one another address.
    #[arg(long, value_name = "ID=ADDRESS", value_parser = id_and::<SocketAddr>)]
    add: Vec<(String, SocketAddr)>,
    /// Take a member out.
    #[arg(long, value_name = "ID")]
    remove: Vec<String>,
    /// Give a member another weight.
    #[arg(long, value_name = "ID=WEIGHT", value_parser = id_and::<u32>)]
    weight: Vec<(String, u32)>,
}

impl Change {
    fn apply(&self, before: &Roster) -> anyhow::Result<Roster> {
        let roster = match &self.to {
            Some(path) => registry::file::load(path)?,
            None => before.clone(),
        };
        let mut members: BTreeMap<String, Member> = Vec::from(roster)
            .into_iter()
            .map(|member| (member.id.clone(), member))
            .collect();
        for (id, address) in &self.add {
            let weight = members.get(id).map_or(1, |member| member.weight);
            let (id, address) = (id.clone(), *address);
            members.insert(id.clone(), Member::new(id, address, weight));
        }
        for id in &self.remove {
            let removed = members.remove(id);
            removed.with_context(|| format!("--remove {id}: there is no such member"))?;
        }
        for (id, weight) in &self.weight {
            let member = members.get_mut(id);
            member
                .with_context(|| format!("--weight {id}: there is no such member"))?
                .weight = *weight;
        }
        Ok(Roster::new(members.into_values().collect())?)
    }
}

fn id_and<T: FromStr>(text: &str) -> Result<(String, T), String> {
    let wrong = || format!("{text:?} is not usable: expected ID=VALUE");
    let (id, value) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((id.to_owned(), value.parse().map_err(|_| wrong())?))
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
    pub fn run(self) -> anyhow::Result<()> {
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
                let before = source.assignment()?;
                let roster = change.apply(before.roster())?;
                let after = Assignment::new(0, before.policy(), roster);
                commands::plan(&before, &after, json)
            }
            Command::Bootstrap {
                config,
                mode,
                node,
                xds,
                admin,
            } => commands::bootstrap(&config.load()?, mode, node, xds, admin),
        }
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
