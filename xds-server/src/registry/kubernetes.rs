//! Members behind a service of Kubernetes.
//!
//! Each connection lists the service's `EndpointSlices`, as the whole cluster
//! has them, and then watches from that version on. So it does not matter why
//! the last one ended, what was missed since, or whether the API server has
//! forgotten it meanwhile.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use sharding::{Roster, RosterError};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::loss::{Loss, LossError};
use super::pace::Pace;
use super::sources::Feed;
use crate::config::{Health, Kubernetes};

mod cluster;
mod endpoints;
mod slices;

pub use cluster::ClusterError;

use cluster::Cluster;
use endpoints::Reading;
use slices::{Found, Refused, Slices};

/// Between attempts to reach the API server.
const PACE: Pace = Pace {
    min: Duration::from_millis(250),
    max: Duration::from_secs(5),
};

/// A connection that lasted so long was well: the next is tried soon.
const STEADY: Duration = Duration::from_secs(5);

/// Why what Kubernetes says does not count.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KubernetesError {
    /// The way to the API server, or what it says.
    #[error("{of}: {reason}")]
    Cluster {
        /// What was asked for.
        of: String,
        /// What happened.
        reason: ClusterError,
    },
    /// Nobody could serve: more likely a fault than a wish.
    #[error(
        "{of}: no members there: {unready} endpoints are not ready, {terminating} are terminating, {refused} are refused"
    )]
    Empty {
        /// What was asked for.
        of: String,
        /// How many are not ready.
        unready: usize,
        /// How many are on their way out.
        terminating: usize,
        /// How many are no members.
        refused: usize,
    },
    /// Most members are gone, and nobody has deleted them.
    #[error("{of}: {reason}")]
    Loss {
        /// What was asked for.
        of: String,
        /// How many.
        reason: LossError,
    },
    /// Members that cannot form a roster.
    #[error("{of}: {reason}")]
    Roster {
        /// What was asked for.
        of: String,
        /// The rule.
        reason: RosterError,
    },
}

/// Follows the service for ever.
pub(super) async fn watch(settings: Kubernetes, health: Option<Health>, feed: Feed) {
    let mut view = View::new(&settings, health.as_ref());
    let mut failures = 0;
    loop {
        let start = Instant::now();
        let Err(reason) = view.follow(&settings, &feed).await;
        feed.bad(&view.of(reason));
        failures = if start.elapsed() < STEADY {
            failures + 1
        } else {
            1
        };
        sleep(PACE.about_after_failures(failures)).await;
    }
}

/// Who is there now.
pub(super) async fn once(
    settings: &Kubernetes,
    health: Option<&Health>,
) -> Result<Roster, KubernetesError> {
    let mut view = View::new(settings, health);
    let opened = view.open(settings).await;
    opened.map_err(|reason| view.of(reason))?;
    view.judge()
}

/// What is known of the service, over all connections.
struct View {
    name: String,
    slices: Slices,
    loss: Loss,
    /// The endpoints that are refused, and said to be.
    refused: Vec<Refused>,
}

impl View {
    fn new(settings: &Kubernetes, health: Option<&Health>) -> Self {
        Self {
            name: settings.named(),
            slices: Slices::new(Reading::new(settings, health)),
            loss: Loss::new(settings.hold_loss),
            refused: Vec::new(),
        }
    }

    /// Hands on what happens for as long as one connection tells it.
    async fn follow(
        &mut self,
        settings: &Kubernetes,
        feed: &Feed,
    ) -> Result<Infallible, ClusterError> {
        let (cluster, mut version) = self.open(settings).await?;
        loop {
            self.say(feed);
            let mut watch = cluster.watch(&version).await?;
            loop {
                let event = tokio::select! {
                    event = watch.next() => event?,
                    () = at(self.loss.due()) => {
                        self.say(feed);
                        continue;
                    }
                };
                // Its time is over, as it was asked for: that is a sign of life too.
                let Some(event) = event else { break };
                version = self.slices.apply(event)?;
                self.say(feed);
            }
        }
    }

    /// Lists everything; the version is that of the list.
    async fn open(&mut self, settings: &Kubernetes) -> Result<(Cluster, String), ClusterError> {
        let cluster = Cluster::connect(settings).await?;
        let (all, version) = cluster.list().await?;
        self.slices.replace(all)?;
        Ok((cluster, version))
    }

    fn say(&mut self, feed: &Feed) {
        match self.judge() {
            Ok(roster) => feed.good(roster),
            Err(problem) => feed.bad(&problem),
        }
    }

    /// The roster, if it can be believed.
    fn judge(&mut self) -> Result<Roster, KubernetesError> {
        let of = || self.name.clone();
        let found = self.slices.found();
        let Found {
            roster,
            leaving,
            terminating,
            unready,
            refused,
        } = found.map_err(|reason| KubernetesError::Roster { of: of(), reason })?;
        for Refused { slice, reason } in refused.iter().filter(|new| !self.refused.contains(new)) {
            warn!(%slice, %reason, "Endpoint in Kubernetes refused");
        }
        self.refused = refused;
        if roster.members().is_empty() {
            return Err(KubernetesError::Empty {
                of: of(),
                unready,
                terminating,
                refused: self.refused.len(),
            });
        }
        let taken = self.loss.take(&roster, &leaving, Instant::now().into_std());
        taken.map_err(|reason| KubernetesError::Loss { of: of(), reason })?;
        Ok(roster)
    }

    fn of(&self, reason: ClusterError) -> KubernetesError {
        KubernetesError::Cluster {
            of: self.name.clone(),
            reason,
        }
    }
}

async fn at(due: Option<std::time::Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
