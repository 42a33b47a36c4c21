//! Where an assignment comes from, and what changes it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;
use sharding::{Assignment, Policy};
use tokio::runtime;

use super::server::TokenFile;
use crate::api::PLAN_PATH;
use crate::client::ServerUrl;
use crate::config::Config;
use crate::rebalance::machine::Settings;
use crate::rebalance::{PlanBasis, Planned, Proposal};
use crate::registry;

/// An assignment without a running server: from a configuration, or from a
/// members file alone.
#[derive(Debug, Args)]
pub(super) struct AssignmentSource {
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

/// The same, or that of a running server.
#[derive(Debug, Args)]
pub(super) struct PlanSource {
    /// A configuration file: its registry, policy and pace.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["members", "admin"])]
    config: Option<PathBuf>,
    /// A members file, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    members: Option<PathBuf>,
    /// `maglev:SIZE` or `ring_hash:MINIMUM:MAXIMUM`, instead of the configuration's [default: maglev:65537]
    #[arg(long)]
    policy: Option<Policy>,
    /// Admin interface of a running server: its members, policy, open streams and history.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "members", "policy"])]
    admin: Option<ServerUrl>,
    #[command(flatten)]
    token: TokenFile,
}

fn offline(
    config: Option<&Config>,
    members: Option<&PathBuf>,
    policy: Option<Policy>,
) -> anyhow::Result<Assignment> {
    let roster = match (members, config) {
        (Some(members), _) => registry::file::load(members)?,
        (None, Some(config)) => {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.context("cannot start the runtime")?;
            runtime.block_on(registry::once(&config.registry, config.health.as_ref()))?
        }
        (None, None) => bail!("no members: give --config or --members"),
    };
    let policy = policy.or(config.map(|config| config.policy));
    Ok(Assignment::new(0, policy.unwrap_or_default(), roster))
}

impl AssignmentSource {
    pub(super) fn assignment(&self) -> anyhow::Result<Assignment> {
        let config = self.config.as_deref().map(Config::load).transpose()?;
        offline(config.as_ref(), self.members.as_ref(), self.policy)
    }
}

impl PlanSource {
    /// What a proposal would move; a running server is asked for it.
    pub(super) fn plan(&self, proposal: &Proposal) -> anyhow::Result<Planned> {
        if let Some(admin) = &self.admin {
            return Ok(self.token.show_to(admin)?.post(PLAN_PATH, proposal)?);
        }
        let config = self.config.as_deref().map(Config::load).transpose()?;
        let before = offline(config.as_ref(), self.members.as_ref(), self.policy)?;
        let after = proposal.apply(&before)?;
        let basis = PlanBasis {
            before,
            past: Vec::new(),
            open: None,
            pace: config.and_then(|config| Settings::from(&config).pace),
            hold_ms: 0,
        };
        Ok(basis.plan(&after))
    }
}

/// A change of the assignment, on top of each other.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Change {
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
    /// Spread keys by another policy.
    #[arg(long, value_name = "POLICY")]
    to_policy: Option<Policy>,
}

impl Change {
    pub(super) fn proposal(&self) -> anyhow::Result<Proposal> {
        Ok(Proposal {
            members: self.to.as_deref().map(registry::file::load).transpose()?,
            add: self.add.iter().cloned().collect(),
            remove: self.remove.clone(),
            weight: self.weight.iter().cloned().collect(),
            policy: self.to_policy,
        })
    }
}

fn id_and<T: FromStr>(text: &str) -> Result<(String, T), String> {
    let wrong = || format!("{text:?} is not usable: expected ID=VALUE");
    let (id, value) = text.rsplit_once('=').ok_or_else(wrong)?;
    Ok((id.to_owned(), value.parse().map_err(|_| wrong())?))
}
