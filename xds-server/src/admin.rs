//! The admin interface: what the control plane knows, over HTTP on a port of
//! its own. It changes nothing but the leases of members.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process works |
//! | `/readyz` | 200 once proxies are served: the xDS port listens and there was a roster; 503 before |
//! | `/metrics` | metrics as below, in the text format of OpenMetrics |
//! | `/api/status` | [`Status`](crate::api::Status) |
//! | `/v1/leases` | [`LeaseStatus`](crate::api::LeaseStatus) of all; with `POST` [`AcquireLease`](crate::api::AcquireLease) |
//! | `/v1/leases/renew`, `/v1/leases/release` | with `POST` [`HeldLease`](crate::api::HeldLease): 404 when there is no such lease, 409 when the token is stale |
//! | `/api/assignment` | [`AssignmentStatus`](crate::api::AssignmentStatus); 503 before the first roster |
//!
//! | metric | |
//! |---|---|
//! | `yorkies_epoch` | epoch of the assignment |
//! | `yorkies_members` | members that serve |
//! | `yorkies_registry_stale_seconds{source}` | since the source of members, `file`, `leases`, `etcd` or `dns`, last gave a good answer: a few seconds at most while all is well |
//! | `yorkies_rebalance_under_way` | 1 while a rebalance holds or drains |
//! | `yorkies_rebalances_total{cause}` | rebalances that are over; one with several causes counts for each: `first`, `resumed`, `outdated`, `policy`, `settings`, `added`, `removed`, `readdressed`, `weight`, `restarted` |
//! | `yorkies_rebalances_ended_total{outcome}` | the same by how they ended: `done`, `incomplete` (somebody did not say in time that no stream is misplaced), `superseded`, `held` (draining is off) |
//! | `yorkies_plan_share` | share of all keys that the last rebalance moved, 0 to 1 |
//! | `yorkies_plan_streams` | streams that it had to end, by the reports before it |
//! | `yorkies_time_to_zero_misplaced_seconds` | histogram: from the publication of an assignment until no stream is misplaced; not of starts |
//! | `yorkies_state_saves_total{outcome}` | times that the state file was written: `done` or `failed` |
//! | `yorkies_state_saves_slow_total` | those of them that took more than a second, counted when that has passed |
//! | `yorkies_state_unsaved` | **alarm** while it stays 1: the state file is older than what was handed out |
//! | `yorkies_streams_open` | open streams, by the last reports |
//! | `yorkies_streams_misplaced` | open streams whose key has another owner: has to go to 0 |
//! | `yorkies_streams_mismatched` | open streams of the present epoch that are elsewhere than predicted: should be 0 |
//! | `yorkies_streams_drained_total` | streams that were drained |
//! | `yorkies_drain_stopped_vms` | **alarm** above 0: VMs that end no stream, since requests arrive elsewhere than they predict |
//! | `yorkies_proxies_connected{mode}` | xDS streams of proxies, `sotw` or `delta` |
//! | `yorkies_proxies_behind` | proxies that have not accepted the newest assignment |
//! | `yorkies_proxies_left_behind_total` | proxies that a release did not wait for |
//! | `yorkies_vms` | VMs that report |
//! | `yorkies_nacks_total{type}` | updates that proxies rejected: `cds`, `eds`, `lds`, `rds`, `ecds` |
//! | `yorkies_reports_total`, `yorkies_reports_refused_total` | reports of VMs |

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tracing::{error, info};

use crate::config::Config;
use crate::fleet::{self, Fleet};
use crate::rebalance::machine::{Pace, Settings};
use crate::rebalance::{self, Board, Metrics};
use crate::registry::{self, Leases, Sources};

mod answers;
mod leases;
mod routes;

/// Share of all keys by member.
type Shares = Arc<BTreeMap<String, f64>>;

/// What the answers are made from.
#[derive(Debug)]
pub struct Admin {
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    registry: Registry,
    leases: Option<Arc<Leases>>,
    pace: Option<Pace>,
    /// How long a rebalance holds at most.
    ack_wait_ms: u64,
    /// Shares of the members under an epoch: computed when first asked for.
    shares: Mutex<Option<(u64, Shares)>>,
}

impl Admin {
    /// The interface, and the metrics that the rebalance counts in.
    #[must_use]
    pub fn new(
        config: &Config,
        sources: &Arc<Sources>,
        fleet: &Arc<Fleet>,
        board: &Arc<Board>,
    ) -> (Arc<Self>, Metrics) {
        let mut registry = Registry::with_prefix("yorkies");
        registry::register(&mut registry, Arc::clone(sources));
        rebalance::register(&mut registry, Arc::clone(board));
        let metrics = Metrics::register(&mut registry);
        fleet::register(&mut registry, Arc::clone(fleet), Arc::clone(board));
        let settings = Settings::from(config);
        let this = Self {
            fleet: Arc::clone(fleet),
            board: Arc::clone(board),
            registry,
            leases: sources.leases(),
            pace: settings.pace,
            ack_wait_ms: settings.ack_wait_ms(),
            shares: Mutex::default(),
        };
        (Arc::new(this), metrics)
    }

    /// Serves it at `address`. If that is taken there is no admin interface,
    /// and routing goes on all the same.
    pub async fn start(self: Arc<Self>, address: SocketAddr) {
        let bound = TcpListener::bind(address).await;
        match bound.and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => {
                info!(%address, "Admin interface listening");
                tokio::spawn(async move { axum::serve(listener, routes::routes(self)).await });
            }
            Err(error) => error!(%address, %error, "Admin interface is off: cannot listen"),
        }
    }
}

#[cfg(test)]
mod tests;
