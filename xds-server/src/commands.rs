//! What each subcommand does.

use std::io::{self, Write};

use anyhow::{Context, bail};
use serde::Serialize;
use sharding::{Assignment, Resource, ShardKey};
use tokio::signal::unix::{SignalKind, signal};

use crate::bootstrap::{Bootstrap, HostPort, Mode};
use crate::config::Config;
use crate::module::Module;
use crate::registry;
use crate::server;

pub(crate) fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
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
    })
}

pub(crate) fn validate(config: &Config) -> anyhow::Result<()> {
    Module::find(&config.filter)?;
    let roster = registry::file::load(&config.registry.file)?;
    check_state_folder(config)?;
    let members = roster.members().len();
    writeln!(
        io::stdout(),
        "valid: {members} members, policy {}",
        config.policy
    )?;
    Ok(())
}

fn check_state_folder(config: &Config) -> anyhow::Result<()> {
    match config.state_file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => bail!(
            "state_file {}: its folder does not exist",
            config.state_file.display()
        ),
        _ => Ok(()),
    }
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
    let configured = || {
        let listen = config.xds.listen.to_string();
        let address = config.xds.advertise.as_ref().unwrap_or(&listen);
        address
            .parse::<HostPort>()
            .map_err(|reason| anyhow::anyhow!("xds.advertise: {reason}"))
    };
    let xds = xds.map_or_else(configured, Ok)?;
    if xds.port == 0 {
        bail!("xds.listen has port 0, which nobody can connect to: give --xds HOST:PORT");
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
