//! The running control plane: registry in, assignments out.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tracing::info;

use crate::admin::{Admin, Registered};
use crate::ads::{self, Access, AdsServer};
use crate::files::LookAgain;
use crate::fleet::Fleet;
use crate::in_force::InForce;
use crate::rebalance::Board;
use crate::rebalance::driver::{Driver, Parts};
use crate::systemd::{self, Notice};
use crate::tls::Tls;
use crate::{health, registry, reports, state};

/// Serves proxies until `shutdown` ends, by what is `in_force`, of which only some
/// settings may become others ([`Applied::ByReload`](crate::config::Applied)).
/// Files that may change while it runs are read at once when `look_again` is asked
/// to.
///
/// # Errors
/// When the address cannot be listened on, a certificate is not usable, or the
/// server breaks.
pub async fn run(
    in_force: watch::Receiver<Arc<InForce>>,
    look_again: LookAgain,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let config = in_force.borrow().config.clone();
    let listener = ads::listen(config.xds.listen)
        .with_context(|| format!("xds.listen {}: cannot be listened on", config.xds.listen))?;
    let address = listener.local_addr()?;
    let (fleet, board) = (Arc::new(Fleet::default()), Arc::new(Board::default()));
    let (sources, listed) = registry::start(&config.registry, config.health.as_ref(), &look_again)
        .context("registry.leases.file")?;
    // That it cannot be read is told by the driver, which needs all of it.
    let last = state::read(&config.state_file).ok().flatten();
    let (health, serving) = health::start(
        config.health.as_ref(),
        &config.state_file,
        last.and_then(|last| last.members).as_ref(),
        listed,
        Arc::clone(&fleet),
        Arc::clone(&board),
    );
    let (admin, registered) = Admin::new(&in_force, &sources, &health, &fleet, &board);
    let Registered {
        metrics,
        refusals,
        tls,
    } = registered;
    let settings = config.xds.tls.as_ref();
    let tls = settings.map(|settings| Tls::start(settings, &look_again, tls));
    let access = Access {
        limits: config.xds.limits.clone(),
        tls: tls.transpose()?,
        refusals,
    };
    if let Some(address) = config.admin.listen {
        admin.start(address).await;
    }
    let (version, tls) = (env!("CARGO_PKG_VERSION"), access.tls.is_some());
    info!(%address, version, tls, "xDS server listening");

    let shutdown = async {
        shutdown.await;
        systemd::tell(Notice::Stopping);
    };
    tokio::pin!(shutdown);
    let mut driver = Driver::restore(Parts {
        in_force,
        fleet: Arc::clone(&fleet),
        board,
        metrics,
        serving,
    });
    let snapshots = tokio::select! {
        snapshots = driver.start() => snapshots,
        () = &mut shutdown => return Ok(()),
    };
    systemd::tell(Notice::Ready);
    let serving = AdsServer::new(snapshots, Arc::clone(&fleet) as _)
        .with_access(access)
        .with_services(reports::routes(fleet))
        .serve(listener, shutdown);
    tokio::select! {
        served = serving => Ok(served?),
        () = driver.run() => anyhow::bail!("a source of members ended"),
    }
}
