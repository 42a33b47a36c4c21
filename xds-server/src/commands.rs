//! What each subcommand does.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sharding::Assignment;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::api::{ORDER_PATH, Ordered, Owner};
use crate::checks;
use crate::client::RunningServer;
use crate::config::{Config, Log, Registry};
use crate::files::LookAgain;
use crate::health::Order;
use crate::in_force::InForce;
use crate::registry;
use crate::reload::{Reload, Relog};
use crate::server;

mod bootstrap;
mod default_project;
mod plan;
mod register;
mod screen;
mod status;

pub(crate) use bootstrap::{Asked as BootstrapAsked, bootstrap};
pub(crate) use default_project::{DefaultProject, default_project};
pub(crate) use plan::plan;
pub(crate) use register::{Asked as RegisterAsked, register};
pub(crate) use status::{View, status};

/// How long a shutdown waits for a state file that is being written.
const SAVING: Duration = Duration::from_secs(2);

/// Serves by the configuration at `path`, as it was loaded, and logs as `log`
/// says, until `relog` is told otherwise.
pub(crate) fn serve(config: Config, log: Log, path: &Path, relog: Relog) -> anyhow::Result<()> {
    let (in_force, receiver) = watch::channel(Arc::new(InForce::of(config)?));
    let reload = Reload {
        path: path.to_owned(),
        in_force,
        look_again: LookAgain::default(),
        log,
        relog,
    };
    let effective = reload.effective(&receiver.borrow().config);
    tracing::info!(config = %effective, "Configuration");
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        let look_again = reload.look_again.clone();
        tokio::spawn(reload_at_each(hangup, reload));
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("Shutting down");
        };
        Box::pin(server::run(receiver, look_again, shutdown)).await
    });
    runtime.shutdown_timeout(SAVING);
    served
}

/// Reloads at each signal, one after another. A file may hang: nobody else waits
/// for it.
async fn reload_at_each(mut hangup: Signal, mut reload: Reload) {
    while hangup.recv().await.is_some() {
        let done = spawn_blocking(move || {
            reload.run();
            reload
        });
        match done.await {
            Ok(back) => reload = back,
            Err(error) => return tracing::error!(%error, "SIGHUP does nothing any more"),
        }
    }
}

pub(crate) fn validate(config: &Config) -> anyhow::Result<()> {
    checks::files(config)?;
    let Registry {
        file,
        leases,
        etcd,
        kubernetes,
        yorkie,
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
    if let Some(kubernetes) = kubernetes {
        members.push(format!("members of {} (not asked)", kubernetes.named()));
    }
    if let Some(yorkie) = yorkie {
        members.push(format!("servers in {} (not asked)", yorkie.database));
    }
    if let Some(dns) = dns {
        members.push(format!("members of {} (not looked up)", dns.name));
    }
    let (members, policy) = (members.join(" and "), config.policy);
    writeln!(io::stdout(), "valid: {members}, policy {policy}")?;
    Ok(())
}

/// Orders what becomes of a member.
pub(crate) fn member(server: &RunningServer, order: Order, id: &str) -> anyhow::Result<()> {
    let path = ORDER_PATH.replace("{order}", order.name());
    let path = path.replace("{id}", &in_a_path(id));
    let Ordered { .. } = server.post(&path, &())?;
    Ok(())
}

/// Ids may have anything that can be seen.
fn in_a_path(id: &str) -> String {
    let mut path = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// Whether a roster is served.
pub(crate) fn ready(server: &RunningServer) -> anyhow::Result<()> {
    Ok(server.check("/readyz")?)
}

/// Prints owners, a JSON line a key.
pub(crate) fn owners(owners: impl Iterator<Item = anyhow::Result<Owner>>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for owner in owners {
        serde_json::to_writer(&mut out, &owner?)?;
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
