//! Where members come from.
//!
//! A source says who is there; it never empties the cluster. What cannot be
//! read or makes no sense is logged and leaves the last good roster in place:
//! in memory while this process runs, and over restarts in the state file.
//! Sources are merged only once each of them has said something, so that a
//! restart in the absence of one takes nobody out; until then, what the state
//! file has is served.

use std::sync::Arc;

use sharding::{Roster, RosterError};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config;
use crate::files::LookAgain;

mod causes;
mod collector;
mod dns;
mod doubt;
mod entry;
mod etcd;
pub mod file;
mod kubernetes;
mod leases;
mod loss;
mod merge;
mod pace;
mod sources;
#[cfg(feature = "yorkie")]
mod yorkie;

pub use collector::register;
pub use dns::DnsError;
pub use etcd::{EtcdError, SessionError};
pub use kubernetes::{ClusterError, KubernetesError};
#[cfg(test)]
pub(crate) use leases::WornDisk;
pub use leases::{AcquireError, LeaseError, LeaseStatus, Leases, StoreError};
pub use loss::LossError;
pub use sources::Sources;
#[cfg(feature = "yorkie")]
pub use yorkie::{Unbelieved, YorkieError, YorkieSessionError};

/// The sources by name, in metrics and in the log.
const FILE: &str = "file";
const LEASES: &str = "leases";
const ETCD: &str = "etcd";
const KUBERNETES: &str = "kubernetes";
#[cfg(feature = "yorkie")]
const YORKIE: &str = "yorkie";
const DNS: &str = "dns";

/// Why there is no roster.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The members file is refused.
    #[error(transparent)]
    File(#[from] file::MembersFileError),
    /// The leases cannot be read.
    #[error(transparent)]
    Leases(#[from] StoreError),
    /// No server of etcd answered, or what is there is refused.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The API server did not answer, or what is there is refused.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// Yorkie's database does not answer, or what is there is refused.
    #[cfg(feature = "yorkie")]
    #[error(transparent)]
    Yorkie(#[from] YorkieError),
    /// The look-up failed, or what it found is refused.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The sources cannot be merged.
    #[error("members of all sources: {0}")]
    Merge(#[from] RosterError),
}

/// The sources, and what they say together.
pub type Started = (Arc<Sources>, watch::Receiver<Option<Roster>>);

/// Follows all sources of `settings` for as long as somebody receives what they
/// say together: `None` until each of them has said something. Files are read
/// at once when `look_again` is asked to. What sources are asked for may depend
/// on what `health` finds out by itself.
///
/// # Errors
/// When the leases of `settings` cannot be kept where they should be.
pub fn start(
    settings: &config::Registry,
    health: Option<&config::Health>,
    look_again: &LookAgain,
) -> Result<Started, StoreError> {
    let config::Registry {
        file,
        leases,
        etcd,
        kubernetes,
        yorkie: _,
        dns,
    } = settings.clone();
    let (sender, rosters) = watch::channel(None);
    let leases = leases
        .map(|leases| Leases::open(&leases.file))
        .transpose()?;
    let sources = Arc::new(Sources::new(leases.clone()));
    let mut tasks = JoinSet::new();
    if let Some(path) = file {
        tasks.spawn(file::watch(path, sources.open(FILE), look_again.clone()));
    }
    if let Some(leases) = leases {
        tasks.spawn(leases::watch(leases, sources.open(LEASES)));
    }
    if let Some(etcd) = etcd {
        tasks.spawn(etcd::watch(etcd, sources.open(ETCD)));
    }
    if let Some(kubernetes) = kubernetes {
        let feed = sources.open(KUBERNETES);
        tasks.spawn(kubernetes::watch(kubernetes, health.cloned(), feed));
    }
    #[cfg(feature = "yorkie")]
    if let Some(yorkie) = settings.yorkie.clone() {
        tasks.spawn(yorkie::watch(yorkie, sources.open(YORKIE)));
    }
    if let Some(dns) = dns {
        tasks.spawn(dns::watch(dns, sources.open(DNS)));
    }
    let merged = sources.subscribe();
    tokio::spawn(async move {
        tokio::select! {
            () = merged.merge_into(sender) => {}
            // None ends but by a panic: then the receiver is told.
            _ = tasks.join_next() => {}
        }
    });
    Ok((sources, rosters))
}

/// Asks every source of `settings` once, as [`start`] would.
///
/// # Errors
/// The first source that does not answer, or not well.
pub async fn once(
    settings: &config::Registry,
    health: Option<&config::Health>,
) -> Result<Roster, RegistryError> {
    let config::Registry {
        file,
        leases,
        etcd,
        kubernetes,
        yorkie: _,
        dns,
    } = settings;
    let mut rosters = Vec::new();
    if let Some(path) = file {
        rosters.push((FILE, file::load(path)?));
    }
    if let Some(leases) = leases {
        let leases = Leases::open_existing(&leases.file)?;
        rosters.push((LEASES, leases.roster()?));
    }
    if let Some(etcd) = etcd {
        rosters.push((ETCD, etcd::once(etcd).await?));
    }
    if let Some(kubernetes) = kubernetes {
        rosters.push((KUBERNETES, kubernetes::once(kubernetes, health).await?));
    }
    #[cfg(feature = "yorkie")]
    if let Some(yorkie) = &settings.yorkie {
        let roster = yorkie::Readings::new(yorkie.clone()).next().await?;
        rosters.push((YORKIE, roster));
    }
    if let Some(dns) = dns {
        rosters.push((DNS, dns::Lookups::new(dns.clone()).next().await?.roster));
    }
    let rosters = rosters.iter().map(|(source, roster)| (*source, roster));
    Ok(merge::merge(rosters)?.roster)
}
