//! Takes connections, and ends them.
//!
//! tonic's own server leaves connections behind that do not finish on their
//! own, as that of a proxy which has stopped reading; here they belong to
//! [`accept`] and end with it.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::body::Body;
use tracing::{debug, warn};

use crate::ads::access::{Access, Peer, Refusal, Slots};
use crate::ads::connection::{GRACE, Stop, serve};

/// Pause after an accept that failed, most likely for want of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves connections until `shutdown` completes; then tells `stop`, and
/// returns when all have ended, after [`GRACE`] at the latest.
pub(super) async fn accept<S, F>(
    listener: TcpListener,
    access: Access,
    service: S,
    stop: watch::Sender<bool>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    S: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let slots = Slots::new(access.clone());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match slots.take(address.ip()) {
                    Ok(slot) => {
                        let served = serve(stream, address, access.clone(), service.clone(), Stop::of(&stop));
                        connections.spawn(async move {
                            served.await;
                            drop(slot);
                        });
                    }
                    Err(refusal) => if let Some(unlogged) = access.refusals.count(refusal) {
                        let limit = match refusal {
                            Refusal::Address => "xds.limits.connections_per_address",
                            _ => "xds.limits.connections",
                        };
                        warn!(%address, unlogged, limit, "Connection refused: too many");
                    }
                },
                Err(error) => {
                    warn!(%error, "Connection not accepted");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        debug!(open = connections.len(), "Connections cut");
    }
    connections.shutdown().await;
    Ok(())
}
