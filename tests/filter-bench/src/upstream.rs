//! Members: servers on threads of this program, so that Envoy's time is its own.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// A request with this header gets its headers back.
pub(crate) const ECHO: &str = "x-bench-echo";

const ANSWER: &[u8] = &[b'y'; 200];

/// Starts so many members, all on one thread that ends with the program.
pub(crate) fn start(count: u16) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    let mut listeners = Vec::new();
    for _ in 0..count {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        addresses.push(listener.local_addr()?);
        listeners.push(listener);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::spawn(move || runtime.block_on(serve_all(listeners)));
    Ok(addresses)
}

async fn serve_all(listeners: Vec<TcpListener>) {
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        serving.spawn(serve(listener));
    }
    while let Some(ended) = serving.join_next().await {
        if let Ok(Err(error)) = ended {
            eprintln!("A member has ended: {error:#}");
        }
    }
}

async fn serve(listener: TcpListener) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    if parts.headers.contains_key(ECHO) {
        *response.headers_mut() = parts.headers;
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    Ok(response)
}
