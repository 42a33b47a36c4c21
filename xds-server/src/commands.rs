//! What each subcommand does.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use sharding::{Assignment, Resource, ShardKey};
use tokio::signal::unix::{SignalKind, signal};

use crate::bootstrap::{Bootstrap, HostPort, Mode};
use crate::checks;
use crate::client::ServerUrl;
use crate::config::{Config, Registry};
use crate::registry;
use crate::server;

mod default_project;
mod plan;
mod register;
mod screen;
mod status;

pub(crate) use default_project::{DefaultProject, default_project};
pub(crate) use plan::{PlanBasis, plan};
pub(crate) use register::{Register, register};
pub(crate) use status::status;

/// How long a shutdown waits for a state file that is being written.
const SAVING: Duration = Duration::from_secs(2);

pub(crate) fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("Shutting down");
        };
        server::run(config, shutdown).await
    });
    runtime.shutdown_timeout(SAVING);
    served
}

pub(crate) fn validate(config: &Config) -> anyhow::Result<()> {
    checks::files(config)?;
    let Registry {
        file,
        leases,
        etcd,
        dns,
    } = &config.registry;
    let mut members = Vec::new();
    if let Some(file) = file {
        let roster = registry::file::load(file)?;
        members.push(format!("{} members", roster.members().len()));
    }
    if let Some(leases) = leases {
        members.push(format!("members with leases in {}", leases.file.display()));
    }
    if let Some(etcd) = etcd {
        members.push(format!("members in etcd under {} (not asked)", etcd.prefix));
    }
    if let Some(dns) = dns {
        members.push(format!("members of {} (not looked up)", dns.name));
    }
    let (members, policy) = (members.join(" and "), config.policy);
    writeln!(io::stdout(), "valid: {members}, policy {policy}")?;
    Ok(())
}

/// Whether a roster is served.
pub(crate) fn ready(admin: &ServerUrl) -> anyhow::Result<()> {
    Ok(admin.check("/readyz")?)
}

#[derive(Serialize)]
struct OwnerLine<'a> {
    key: &'a str,
    canonical: &'a str,
    hash: u64,
    slot: usize,
    owner: &'a str,
    address: String,
}

/// Prints the owner of each key; without a `resource` the keys are taken as
/// they stand.
pub(crate) fn owner(
    assignment: &Assignment,
    resource: Option<Resource>,
    keys: &[String],
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for key in keys {
        let canonical = match resource {
            Some(resource) => ShardKey::from_header(key.as_bytes(), resource)?.to_string(),
            None => key.clone(),
        };
        let owner = assignment
            .owner(canonical.as_bytes())
            .context("there are no members")?;
        let line = OwnerLine {
            key,
            canonical: &canonical,
            hash: owner.hash,
            slot: owner.slot,
            owner: &owner.member.id,
            address: owner.member.address.to_string(),
        };
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out)?;
    }
    Ok(())
}

pub(crate) fn table(assignment: &Assignment) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let id = |index: usize| {
        let member = assignment.roster().members().get(index);
        member.map_or("", |member| member.id.as_str())
    };
    if let Some(maglev) = assignment.maglev() {
        for index in maglev.members() {
            writeln!(out, "{}", id(index))?;
        }
    }
    if let Some(ring) = assignment.ring() {
        for entry in ring.entries() {
            writeln!(out, "{} {}", entry.hash, id(usize::from(entry.member)))?;
        }
    }
    out.flush()?;
    Ok(())
}

pub(crate) fn bootstrap(
    config: &Config,
    mode: Mode,
    node: String,
    xds: Option<HostPort>,
    admin: HostPort,
) -> anyhow::Result<()> {
    let (setting, xds) = match (xds, &config.xds.advertise) {
        (Some(xds), _) => ("--xds", xds),
        (None, Some(advertise)) => ("xds.advertise", advertise.clone()),
        (None, None) => ("xds.listen", config.xds.listen.into()),
    };
    if !xds.is_reachable() {
        bail!("{setting} {xds} is nothing to connect to: give --xds HOST:PORT");
    }
    let bootstrap = Bootstrap {
        mode,
        node,
        xds,
        admin,
        listener: config.listener.is_some(),
    };
    let yaml = serde_saphyr::to_string(&bootstrap.document())?;
    io::stdout().write_all(yaml.as_bytes())?;
    Ok(())
}
