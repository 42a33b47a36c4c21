//! A server that takes reports of filters and keeps them all.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use sharding::{REPORTS_SERVICE, Report, SEND_METHOD};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// gRPC's head of a message: whether it is compressed, and its length.
const MESSAGE_HEAD: usize = 5;

/// In the test's own process; gone when it is dropped.
#[derive(Debug)]
pub struct ReportSink {
    address: SocketAddr,
    reports: Arc<Mutex<Vec<(Instant, Report)>>>,
    _serving: JoinSet<()>,
}

impl ReportSink {
    /// Starts one somewhere on the loopback.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let reports = Arc::<Mutex<Vec<_>>>::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, reports.clone()));
        Ok(Self {
            address,
            reports,
            _serving: serving,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets all reports so far.
    pub fn clear(&self) {
        let reports = self.reports.lock();
        reports.unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// All reports, in the order of their arrival.
    #[must_use]
    pub fn reports(&self) -> Vec<(Instant, Report)> {
        let reports = self.reports.lock();
        reports.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, reports: Arc<Mutex<Vec<(Instant, Report)>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let reports = reports.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| take(request, reports.clone()));
            let server = http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn take(
    request: Request<Incoming>,
    reports: Arc<Mutex<Vec<(Instant, Report)>>>,
) -> Result<Response<BoxBody<Bytes, Infallible>>> {
    let path = request.uri().path().to_owned();
    anyhow::ensure!(
        path == format!("/{REPORTS_SERVICE}/{SEND_METHOD}"),
        "{path}"
    );
    let body = request.into_body().collect().await?.to_bytes();
    let message = body.get(MESSAGE_HEAD..).context("no message")?;
    let report = Report::decode(message)?;
    let mut all = reports.lock().unwrap_or_else(PoisonError::into_inner);
    all.push((Instant::now(), report));
    let trailers = HeaderMap::from_iter([("grpc-status".parse()?, HeaderValue::from_static("0"))]);
    let receipt = Full::new(Bytes::from_static(&[0; MESSAGE_HEAD]));
    let body = receipt.with_trailers(std::future::ready(Some(Ok(trailers))));
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(body.boxed())?)
}
