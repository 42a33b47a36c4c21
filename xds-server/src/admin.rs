//! The admin interface: what the control plane knows, over HTTP on a port of
//! its own. What can change something needs a token (`admin/guard.rs`), and on
//! loopback it has to be called by a name of this machine (`admin/host.rs`).
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process works |
//! | `/readyz` | 200 once proxies are served: the xDS port listens and there was a roster; 503 before |
//! | `/metrics` | metrics as below, in the text format of OpenMetrics |
//! | `/v1/...` | JSON, see [`crate::api`]; `xds-server/openapi.yaml` describes every path, also at `/v1/openapi.yaml` |
//!
//! | metric | |
//! |---|---|
//! | `yorkies_build_info{version}` | 1: the version that runs |
//! | `yorkies_epoch` | epoch of the assignment |
//! | `yorkies_members` | members that serve |
//! | `yorkies_members_listed{state}` | members in the registry: `serving`, `failing` (they serve, though their checks fail), `awaited` (no check has passed yet), `ejected`, `drained` (by order) |
//! | `yorkies_health_checks_total{outcome}` | checks of members: `passed` or `failed` |
//! | `yorkies_health_held_back` | **alarm** above 0: members that would be ejected, if not too many were |
//! | `yorkies_health_keeps_last` | **alarm** above 0: nobody of those that are listed serves, and the last roster stays |
//! | `yorkies_health_ejections_total`, `yorkies_health_readmissions_total` | members that were ejected, and those that came back |
//! | `yorkies_registry_stale_seconds{source}` | since the source of members, `file`, `leases`, `etcd`, `kubernetes`, `yorkie` or `dns`, last gave a good answer: a few seconds at most while all is well |
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
//! | `yorkies_proxies_subscribed{type,mode}` | those of them that have asked for a type: `cds`, `eds`, `lds`, `rds`, `ecds` |
//! | `yorkies_proxies_behind` | proxies that have not accepted the newest assignment |
//! | `yorkies_proxies_left_behind_total` | proxies that a release did not wait for |
//! | `yorkies_vms` | VMs that report |
//! | `yorkies_pushes_total{type}` | responses that were sent |
//! | `yorkies_pushed_bytes_total{type}` | bytes of these, without frames |
//! | `yorkies_acks_total{type}` | responses that proxies accepted; an answer to a later one speaks for those before it |
//! | `yorkies_nacks_total{type}` | updates that proxies rejected |
//! | `yorkies_change_to_ack_seconds{type}` | histogram: from the publication of a change until a proxy that was there has accepted all that it changes of the type; of changes that overtake each other only the last |
//! | `yorkies_xds_connections` | open connections of the xDS port |
//! | `yorkies_xds_refused_total{reason}` | what the xDS port refused: `connections` and `address` (too many), `tls` (no TLS, no certificate or a wrong one), `slow` (no request in time), `streams` (too many on a connection), `message` (too large), `identity` (streams and reports of a node that the certificate is not for) |
//! | `yorkies_xds_idle_closed_total` | connections that were closed since nothing was open on them |
//! | `yorkies_xds_tls_reloads_total{outcome}` | times that changed certificates were taken, `done`, or refused, `failed` |
//! | `yorkies_xds_tls_not_after_seconds` | when the certificate that the xDS port shows, or one of its chain, expires: seconds of unix time, 0 without TLS |
//! | `yorkies_tasks` | tasks of the process, at work or waiting: a few for each connection |
//! | `yorkies_reports_total`, `yorkies_reports_refused_total` | reports of VMs |

use std::net::SocketAddr;
use std::sync::Arc;

use axum::{Router, middleware};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tracing::{error, info, warn};

use crate::ads::Refusals;
use crate::fleet::{self, Fleet};
use crate::health::{self, Health};
use crate::in_force::InForce;
use crate::rebalance::{self, Board, Metrics};
use crate::registry::{self, Leases, Sources};
use crate::tls;

mod answers;
mod assignment;
mod dump;
mod guard;
mod host;
mod leases;
mod members;
mod refusal;
mod route;
mod routes;
mod tasks;

use assignment::Present;
use guard::Guard;
use refusal::Refusal;

/// What the answers are made from.
#[derive(Debug)]
pub struct Admin {
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    health: Arc<Health>,
    registry: Registry,
    leases: Option<Arc<Leases>>,
    guard: Guard,
    in_force: watch::Receiver<Arc<InForce>>,
    /// Computed when first asked for under an epoch.
    present: Mutex<Option<Present>>,
    /// Held by whoever computes a plan.
    planning: Mutex<()>,
}

/// Metrics that others count in.
#[derive(Debug)]
pub struct Registered {
    /// Of rebalances.
    pub metrics: Metrics,
    /// Of who is refused at the xDS port.
    pub refusals: Refusals,
    /// Of its certificates.
    pub tls: tls::Metrics,
}

impl Admin {
    /// The interface, and the metrics that others count in.
    #[must_use]
    pub fn new(
        in_force: &watch::Receiver<Arc<InForce>>,
        sources: &Arc<Sources>,
        health: &Arc<Health>,
        fleet: &Arc<Fleet>,
        board: &Arc<Board>,
    ) -> (Arc<Self>, Registered) {
        let mut registry = Registry::with_prefix("yorkies");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The control plane that runs", build);
        tasks::register(&mut registry);
        registry::register(&mut registry, Arc::clone(sources));
        health::register(&mut registry, Arc::clone(health));
        rebalance::register(&mut registry, Arc::clone(board));
        let registered = Registered {
            metrics: Metrics::register(&mut registry),
            refusals: Refusals::register(&mut registry),
            tls: tls::Metrics::register(&mut registry),
        };
        fleet::register(&mut registry, Arc::clone(fleet), Arc::clone(board));
        let token_file = in_force.borrow().config.admin.token_file.clone();
        let this = Self {
            fleet: Arc::clone(fleet),
            board: Arc::clone(board),
            health: Arc::clone(health),
            registry,
            leases: sources.leases(),
            guard: Guard(token_file),
            in_force: in_force.clone(),
            present: Mutex::default(),
            planning: Mutex::default(),
        };
        (Arc::new(this), registered)
    }

    /// Serves it at `address`. If that is taken there is no admin interface,
    /// and routing goes on all the same.
    pub async fn start(self: Arc<Self>, address: SocketAddr) {
        let bound = TcpListener::bind(address).await;
        match bound.and_then(|listener| Ok((listener.local_addr()?, listener))) {
            Ok((address, listener)) => {
                info!(%address, "Admin interface listening");
                if !address.ip().is_loopback() {
                    warn!(%address, "Admin interface can be read by whoever reaches its port: members, proxies and what they are sent");
                }
                let router = self.router(address);
                tokio::spawn(async move { axum::serve(listener, router).await });
            }
            Err(error) => error!(%address, %error, "Admin interface is off: cannot listen"),
        }
    }

    fn router(self: Arc<Self>, address: SocketAddr) -> Router {
        let router = route::router(routes::routes(), self.guard.clone(), self);
        if address.ip().is_loopback() {
            router.layer(middleware::from_fn(host::local))
        } else {
            router
        }
    }
}

#[cfg(test)]
mod tests;
