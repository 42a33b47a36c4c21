//! One HTTP/2 connection of the discovery services.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::body::Body;
use tracing::{debug, warn};

use crate::ads::access::{Access, Open, Peer, Refusal, Useless};
use crate::ads::gathering::{self, Gathering};
use crate::identity::Names;
use crate::tls::{self, Tls};

/// How long connections may take to end after the streams were told to. It is
/// time for a few frames, not for work.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Largest headers of a request, in bytes. Those of gRPC have a few hundred.
const MAX_HEADERS: u32 = 16 << 10;

/// Requests beyond the limit that are told so. HTTP/2 itself refuses further
/// ones, without a word.
const TOLD: u32 = 16;

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

    /// One more that the same sender tells.
    pub(crate) fn of(sender: &watch::Sender<bool>) -> Self {
        Self(sender.subscribe())
    }

    /// Waits for it.
    pub(crate) async fn requested(&mut self) {
        // An error means that the server is gone.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

/// Serves one connection until its other end, a limit or `stop` ends it.
pub(super) async fn serve<S, F>(
    stream: TcpStream,
    address: SocketAddr,
    access: Access,
    service: S,
    mut stop: Stop,
) where
    S: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // Updates are small and urgent: they must not wait for earlier acknowledgements.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%address, %error, "Delayed sending stays on");
    }
    let first = Instant::now() + access.limits.handshake_timeout;
    let Some(tls) = &access.tls else {
        let peer = access.peer(address, Names::default());
        return Box::pin(serve_http2(stream, first, peer, access, service, stop)).await;
    };
    let shaken = tokio::select! {
        shaken = timeout_at(first, Box::pin(shake_hands(tls, stream))) => shaken,
        () = stop.requested() => return,
    };
    match shaken {
        Ok(Ok((stream, names))) => {
            let peer = access.peer(address, names);
            Box::pin(serve_http2(stream, first, peer, access, service, stop)).await;
        }
        Ok(Err(error)) => {
            if let Some(unlogged) = access.refusals.count(Refusal::Tls) {
                warn!(%address, %error, unlogged, "Connection refused: no TLS with it");
            }
        }
        Err(_) => refuse_slow(&access, address),
    }
}

type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

async fn shake_hands(tls: &Tls, stream: TcpStream) -> io::Result<(TlsStream, Names)> {
    let stream = tls.acceptor().accept(stream).await?;
    let (_, connection) = stream.get_ref();
    let names = tls::names(connection).map_err(io::Error::other)?;
    Ok((stream, names))
}

async fn serve_http2<I, S, F>(
    io: I,
    first: Instant,
    peer: Peer,
    access: Access,
    service: S,
    mut stop: Stop,
) where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let address = peer.address();
    let open = Open::default();
    let limits = &access.limits;
    let gathering = Gathering::new(io);
    // Boxed, like the others: each future that one is moved through would
    // otherwise have room for all of it, on every connection.
    let mut connection = Box::pin(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout)
            .max_send_buf_size(MAX_BUFFERED)
            .max_header_list_size(MAX_HEADERS)
            .max_concurrent_streams(limits.streams_per_connection.saturating_add(TOLD))
            .serve_connection(
                TokioIo::new(gathering.clone()),
                limited(service, peer, access.clone(), open.clone()),
            ),
    );
    let serving = async {
        tokio::select! {
            result = connection.as_mut() => result,
            () = stop.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            useless = open.useless(first, limits.idle_timeout) => {
                match useless {
                    Useless::Never => refuse_slow(&access, address),
                    Useless::NoLonger => {
                        access.refusals.count_idle();
                        debug!(%address, "Connection closed: nothing was open on it");
                    }
                }
                connection.as_mut().graceful_shutdown();
                // Who has said nothing so far may not answer to that either.
                timeout(GRACE, connection).await.unwrap_or(Ok(()))
            }
        }
    };
    let result = gathering::flushing(gathering, serving).await;
    if let Err(error) = result {
        debug!(%address, %error, "Connection broken");
    }
}

/// `service` for one connection, with as many requests at a time as it may have.
fn limited<S, F>(
    service: S,
    peer: Peer,
    access: Access,
    open: Open,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
>
where
    S: Fn(Request<Incoming>, Peer) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    service_fn(move |request| {
        let begun = open.begin(access.limits.streams_per_connection);
        let answer = begun.map(|begun| (begun, service(request, peer.clone())));
        let (access, address) = (access.clone(), peer.address());
        async move {
            let Some((begun, response)) = answer else {
                if let Some(unlogged) = access.refusals.count(Refusal::Streams) {
                    warn!(%address, unlogged, "Stream refused: xds.limits.streams_per_connection");
                }
                return Ok(access.too_many_streams().into_http());
            };
            Ok::<_, Infallible>(response.await.map(|body| begun.until_sent(body)))
        }
    })
}

fn refuse_slow(access: &Access, address: SocketAddr) {
    if let Some(unlogged) = access.refusals.count(Refusal::Slow) {
        warn!(%address, unlogged, "Connection closed: no request within xds.limits.handshake_timeout");
    }
}
