//! HTTP/1.1 and HTTP/2 without TLS on one port.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::protocol::reply::Body;

/// How long open calls may take to end after a stop was asked for.
const GRACE: Duration = Duration::from_secs(5);
/// How long an HTTP/1.1 connection may be idle, as the real server has it.
const IDLE_LIMIT: Duration = Duration::from_mins(2);
/// How long accepting pauses when it fails, for example without file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `answer` on `listener` until `stop` is done, then lets open calls end
/// for a bounded time.
pub async fn serve<A, F>(listener: TcpListener, answer: A, stop: impl Future<Output = ()>)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(None);
    let open = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let socket = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                socket
            }
        };
        // Watch events are small; waiting to fill a packet would only delay them.
        let _ = socket.set_nodelay(true);
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let response = answer(request);
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = builder
            .serve_connection(TokioIo::new(socket), service)
            .into_owned();
        let connection = open.watch(connection);
        // A broken connection is the peer's business: there is nobody to tell.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, open.shutdown()).await;
}
