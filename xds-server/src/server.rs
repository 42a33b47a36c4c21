//! The running control plane: registry in, assignments out.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tracing::info;

use crate::admin::Admin;
use crate::ads::AdsServer;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::rebalance::Board;
use crate::rebalance::driver::{Driver, Parts};
use crate::{checks, registry, reports};

/// Serves proxies until `shutdown` ends.
///
/// # Errors
/// When the address cannot be listened on, the module is not usable, or the
/// server breaks.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let module = checks::files(&config)?;
    let listener = TcpListener::bind(config.xds.listen)
        .await
        .with_context(|| format!("xds.listen {}: cannot be listened on", config.xds.listen))?;
    let address = listener.local_addr()?;
    let (fleet, board) = (Arc::new(Fleet::default()), Arc::new(Board::default()));
    let (sources, rosters) = registry::start(&config.registry).context("registry.leases.file")?;
    let (admin, metrics) = Admin::new(&config, &sources, &fleet, &board);
    if let Some(address) = config.admin.listen {
        admin.start(address).await;
    }
    info!(%address, version = env!("CARGO_PKG_VERSION"), "xDS server listening");

    tokio::pin!(shutdown);
    let mut driver = Driver::restore(Parts {
        config,
        module,
        fleet: Arc::clone(&fleet),
        board,
        metrics,
        rosters,
    });
    let snapshots = tokio::select! {
        snapshots = driver.start() => snapshots,
        () = &mut shutdown => return Ok(()),
    };
    let serving = AdsServer::new(snapshots, Arc::clone(&fleet) as _)
        .with_services(reports::routes(fleet))
        .serve(listener, shutdown);
    tokio::select! {
        served = serving => Ok(served?),
        () = driver.run() => anyhow::bail!("a source of members ended"),
    }
}
