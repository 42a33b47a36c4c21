//! A member that tells what it was sent: enough for tests of routing, and so
//! cheap that twenty of them cost nothing.

mod arrivals;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sharding::SHARD_EPOCH;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::StreamExt;

pub use arrivals::Arrival;
use arrivals::{Arrivals, OpenStream};

use crate::Answer;
use crate::answer::Written;

/// With this header a response starts with an [`Answer`] as elsewhere, and does
/// not end: like a watch while nobody edits.
pub const STAY_OPEN: &str = "x-stay-open";

/// With this header there is no response at all.
pub const STAY_SILENT: &str = "x-stay-silent";

/// Answered in the caller's protocol, with id and key of the document.
const ATTACH: &str = "/yorkie.v1.YorkieService/AttachDocument";

/// Answered with the metric that tells when the member was started.
const METRICS: &str = "/metrics";

/// A server in the test's own process, for HTTP/1.1 and HTTP/2 without TLS. It
/// answers every request with an [`Answer`], after which a response stays open
/// if it shall, and echoes what comes over an upgraded connection.
/// `AttachDocument` it answers as Yorkie does, with the [`Answer`] beside it.
/// A handle: it serves until it is stopped or the test ends.
#[derive(Debug, Clone)]
pub struct Member {
    state: Arc<State>,
    serving: AbortHandle,
}

#[derive(Debug)]
struct State {
    id: String,
    address: SocketAddr,
    requests: AtomicU64,
    connections: AtomicU64,
    arrivals: Arc<Arrivals>,
    epoch_went_back: AtomicBool,
    /// Seconds of the unix time at which it was started.
    started: f64,
}

/// One connection. Behind it is one worker of one Envoy, so that the order of
/// epochs on it is certain.
#[derive(Debug)]
struct Connection {
    member: Arc<State>,
    number: u64,
    highest_epoch: AtomicU64,
}

impl Member {
    /// Starts a member somewhere on the loopback.
    pub(crate) async fn start(id: impl Into<String>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Self::serve(listener, id.into())
    }

    /// Starts a member of that id there.
    pub async fn start_as(id: impl Into<String>, address: SocketAddr) -> Result<Self> {
        Self::serve(TcpListener::bind(address).await?, id.into())
    }

    /// Starts a member there, with its address as its id.
    pub(crate) async fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let id = listener.local_addr()?.to_string();
        Self::serve(listener, id)
    }

    fn serve(listener: TcpListener, id: String) -> Result<Self> {
        let state = Arc::new(State {
            id,
            address: listener.local_addr()?,
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            arrivals: Arc::default(),
            epoch_went_back: AtomicBool::new(false),
            started: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64(),
        });
        let serving = tokio::spawn(serve(listener, state.clone())).abort_handle();
        Ok(Self { state, serving })
    }

    /// Its entry in a roster.
    #[must_use]
    pub fn entry(&self, weight: u32) -> sharding::Member {
        sharding::Member::new(&self.state.id, self.state.address, weight)
    }

    /// How many requests it has answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// The keyed requests that it got, in order.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.state.arrivals.all()
    }

    /// Forgets the keyed requests that it got, but for the streams that are open.
    pub fn forget_past(&self) {
        self.state.arrivals.forget_past();
    }

    /// Ends it and all its connections.
    pub fn stop(&self) {
        self.serving.abort();
    }

    /// Whether on any connection an epoch came after a higher one.
    #[must_use]
    pub fn epoch_went_back(&self) -> bool {
        self.state.epoch_went_back.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, member: Arc<State>) {
    // Dropped with this task: no connection outlives the member.
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        if let Ok((stream, _)) = stream {
            let connection = Connection {
                number: member.connections.fetch_add(1, Ordering::Relaxed),
                member: member.clone(),
                highest_epoch: AtomicU64::new(0),
            };
            connections.spawn(Arc::new(connection).serve(stream));
        }
    }
}

impl Connection {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request| {
            let stream = self.note(&request);
            answer(request, self.member.clone(), stream)
        });
        // Envoy drops connections as it likes: an error here is no news.
        let _ = stream.set_nodelay(true);
        let mut server = auto::Builder::new(TokioExecutor::new());
        server
            .http2()
            .enable_connect_protocol()
            .max_concurrent_streams(None);
        let _ = server
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .await;
    }

    fn note(&self, request: &Request<Incoming>) -> Option<OpenStream> {
        self.member.requests.fetch_add(1, Ordering::Relaxed);
        let epoch = request.headers().get(SHARD_EPOCH);
        let epoch = epoch.and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(epoch) = epoch
            && self.highest_epoch.fetch_max(epoch, Ordering::Relaxed) > epoch
        {
            self.member.epoch_went_back.store(true, Ordering::Relaxed);
        }
        let is_stream = request.headers().contains_key(STAY_OPEN);
        self.member.arrivals.note(request, self.number, is_stream)
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    member: Arc<State>,
    stream: Option<OpenStream>,
) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let answer = Answer {
        member: member.id.clone(),
        address: member.address,
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
    };
    let is_connect = head.extensions.get::<hyper::ext::Protocol>().is_some();
    let mut response = Response::builder().header("x-answered-by", &member.id);
    if is_connect || head.headers.contains_key(header::UPGRADE) {
        if !is_connect {
            response = response
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket");
        }
        tokio::spawn(echo(Request::from_parts(head, body)));
        return Ok(response.body(Body::default())?);
    }
    body.collect().await?;
    if head.uri.path() == METRICS {
        let metrics = format!("process_start_time_seconds {}\n", member.started);
        return Ok(response.body(Full::from(metrics).boxed_unsync())?);
    }
    if head.headers.contains_key(STAY_SILENT) {
        std::future::pending::<()>().await;
    }
    let written = if head.uri.path() == ATTACH {
        Written::attached(&answer, &head.headers)?
    } else {
        Written::plain(&answer)?
    };
    for (name, value) in written.headers {
        response = response.header(name, value);
    }
    let first = tokio_stream::once(Ok(Frame::data(written.body)));
    let body = match written.trailers {
        _ if head.headers.contains_key(STAY_OPEN) => {
            let rest = tokio_stream::pending().map(move |frame| {
                // Owned by the body, and dropped with it.
                let _ = &stream;
                frame
            });
            StreamBody::new(first.chain(rest)).boxed_unsync()
        }
        Some(trailers) => {
            let last = tokio_stream::once(Ok(Frame::trailers(trailers)));
            StreamBody::new(first.chain(last)).boxed_unsync()
        }
        None => StreamBody::new(first).boxed_unsync(),
    };
    Ok(response.body(body)?)
}

async fn echo(request: Request<Incoming>) {
    if let Ok(upgraded) = hyper::upgrade::on(request).await {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut read, &mut write).await;
    }
}
