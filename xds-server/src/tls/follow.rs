//! Takes what changes in the files.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tracing::{error, info};

use super::material::{Material, TlsError};
use super::metrics::Metrics;
use crate::config::XdsTls;
use crate::files::Touches;

/// Certificate and key are two files, and so one changes before the other.
const REST: Duration = Duration::from_millis(100);

/// The files are read again after this long even without an event: some file
/// systems send none.
const RECHECK: Duration = Duration::from_secs(10);

/// Sends what becomes of the files until nobody receives it any more.
pub(super) async fn follow(
    settings: XdsTls,
    mut used: Material,
    mut touches: Touches,
    newest: watch::Sender<Arc<ServerConfig>>,
    metrics: Metrics,
) {
    let mut known_problem = None;
    loop {
        tokio::select! {
            () = touches.next() => tokio::time::sleep(REST).await,
            () = tokio::time::sleep(RECHECK) => {}
            () = newest.closed() => return,
        }
        match changed(&settings, &used) {
            Ok(None) => known_problem = None,
            Ok(Some((material, config))) => {
                (used, known_problem) = (material, None);
                newest.send_replace(Arc::new(config));
                metrics.reloaded(true);
                metrics.expires(used.not_after());
                info!("Certificates of xds.tls renewed");
            }
            Err(problem) => {
                let problem = problem.to_string();
                if known_problem.as_ref() != Some(&problem) {
                    metrics.reloaded(false);
                    error!(
                        error = problem,
                        "Certificates of xds.tls refused, the last good ones stay"
                    );
                    known_problem = Some(problem);
                }
            }
        }
    }
}

/// What the files have become, if it is not what is `used`.
fn changed(
    settings: &XdsTls,
    used: &Material,
) -> Result<Option<(Material, ServerConfig)>, TlsError> {
    let material = Material::read(settings)?;
    if material == *used {
        return Ok(None);
    }
    let config = material.server_config()?;
    Ok(Some((material, config)))
}
