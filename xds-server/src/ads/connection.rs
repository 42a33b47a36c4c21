//! HTTP/2 connections of the discovery services.
//!
//! tonic's own server leaves connections behind that do not finish on their
//! own, as that of a proxy which has stopped reading; here they belong to
//! [`accept`] and end with it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::body::Body;
use tracing::{debug, warn};

use crate::ads::gathering::{self, Gathering};

/// A connection is pinged when it was silent for this long, so that a proxy
/// behind a dead link is noticed ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// ... and closed when no answer comes within this time.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connections may take to end after the streams were told to. It is
/// time for a few frames, not for work.
const GRACE: Duration = Duration::from_secs(1);

/// Pause after an accept that failed, most likely for want of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What a stream may have in the connection's buffer, in bytes, before it is
/// asked for its next message: a proxy that does not read keeps that, and one
/// message, of the snapshots of then from being freed.
const MAX_BUFFERED: usize = 64 << 10;

/// Completes when the server stops, or is gone. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// What tells it, and itself.
    pub(crate) fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Waits for it.
    pub(crate) async fn requested(&mut self) {
        // An error means that the server is gone.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

/// Serves connections until `shutdown` completes; then tells `stop`, and
/// returns when all have ended, after [`GRACE`] at the latest.
pub(crate) async fn accept<S, F>(
    listener: TcpListener,
    service: S,
    stop: watch::Sender<bool>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let stopped = Stop(stop.subscribe());
                    connections.spawn(serve(stream, address, service.clone(), stopped));
                }
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

async fn serve<S, F>(stream: TcpStream, address: SocketAddr, service: S, mut stop: Stop)
where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // Updates are small and urgent: they must not wait for earlier acknowledgements.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%address, %error, "Delayed sending stays on");
    }
    let service = service_fn(move |request| {
        let response = service(request, address);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let gathering = Gathering::new(stream);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_send_buf_size(MAX_BUFFERED)
        .serve_connection(TokioIo::new(gathering.clone()), service);
    let serving = async {
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => result,
            () = stop.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    let result = gathering::flushing(gathering, serving).await;
    if let Err(error) = result {
        debug!(%address, %error, "Connection broken");
    }
}
