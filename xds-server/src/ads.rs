//! The discovery services: gives every proxy what it lacks of the newest
//! [`Snapshot`].
//!
//! - The two protocol variants, state of the world and delta, are pure state
//!   machines (`ads/sotw.rs`, `ads/delta.rs`). They compare what a proxy wants
//!   with what it was sent, whenever either changes; there is no queue of
//!   updates that could grow or lose one.
//! - Each stream runs one of them, without a task of its own (`ads/stream.rs`).
//! - A [`ProxyObserver`] hears who is connected and what each proxy has
//!   accepted; [`Holding::covers`] tells whether it is done with a snapshot.
//!
//! Served are the aggregated service and, with the same code, the separate
//! ones of the five types.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::Grpc;
use tonic::service::Routes;

mod codec;
mod connection;
mod delta;
mod flight;
mod message;
#[cfg(test)]
mod model;
mod observer;
pub(crate) mod progress;
mod rpc;
mod session;
mod sotw;
mod stream;
mod subscription;
#[cfg(test)]
pub(crate) mod support;

pub use observer::{Holding, LogOnly, Mode, Proxy, ProxyObserver, Push, Reached};
pub use progress::Versions;
pub use session::StreamId;
pub use subscription::Subscription;

use crate::snapshot::Snapshot;
use codec::DiscoveryCodec;
use connection::Stop;
use rpc::{Exchange, Rpc};
use stream::Context;

/// Largest request. tonic's default of 4 MiB is too little for a delta proxy
/// that comes back with tens of thousands of `initial_resource_versions`.
const MAX_REQUEST_BYTES: usize = 32 << 20;

/// The discovery services over one source of snapshots.
#[derive(Clone)]
pub struct AdsServer {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    observer: Arc<dyn ProxyObserver>,
    identifier: Arc<str>,
    others: Routes,
    streams: Arc<AtomicU64>,
}

impl AdsServer {
    /// Serves the newest of `snapshots`. The value in there must be a real one
    /// from the start: a proxy deletes what it does not name.
    #[must_use]
    pub fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        observer: Arc<dyn ProxyObserver>,
    ) -> Self {
        Self {
            snapshots,
            observer,
            identifier: Arc::from("yorkies"),
            others: Routes::default(),
            streams: Arc::default(),
        }
    }

    /// Names this replica: Envoy shows it as `control_plane.identifier`.
    #[must_use]
    pub fn with_identifier(mut self, identifier: impl Into<Arc<str>>) -> Self {
        self.identifier = identifier.into();
        self
    }

    /// Other gRPC services for the same port.
    #[must_use]
    pub fn with_services(mut self, others: Routes) -> Self {
        self.others = others.prepare();
        self
    }

    /// Serves connections from `listener` until `shutdown` completes. Then all
    /// streams end at once, with status `UNAVAILABLE`, and within a second all
    /// connections.
    ///
    /// # Errors
    /// None at present: a connection that fails does not end the others.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let (stop, stopped) = Stop::channel();
        let service = move |request, address| {
            let (server, stopped) = (self.clone(), stopped.clone());
            async move { server.respond(request, address, stopped).await }
        };
        connection::accept(listener, service, stop, shutdown).await
    }

    async fn respond(
        mut self,
        request: Request<Incoming>,
        address: SocketAddr,
        stop: Stop,
    ) -> Response<Body> {
        let Some(Rpc { mode, only }) = Rpc::from_path(request.uri().path()) else {
            return match self.others.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        };
        let id = StreamId(self.streams.fetch_add(1, Ordering::Relaxed) + 1);
        let context = Context {
            id,
            mode,
            address: Some(address),
            snapshots: self.snapshots,
            observer: self.observer,
            stop,
        };
        match mode {
            Mode::StateOfTheWorld => {
                let session = sotw::Session::new(id, &self.identifier, only);
                Grpc::new(DiscoveryCodec::default())
                    .max_decoding_message_size(MAX_REQUEST_BYTES)
                    .streaming(Exchange::new(session, context), request)
                    .await
            }
            Mode::Delta => {
                let session = delta::Session::new(id, &self.identifier, only);
                Grpc::new(DiscoveryCodec::default())
                    .max_decoding_message_size(MAX_REQUEST_BYTES)
                    .streaming(Exchange::new(session, context), request)
                    .await
            }
        }
    }
}

/// Serves the newest of `snapshots` on `listener` until `shutdown` completes,
/// see [`AdsServer`].
///
/// # Errors
/// As [`AdsServer::serve`].
pub async fn serve(
    listener: TcpListener,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    observer: Arc<dyn ProxyObserver>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    AdsServer::new(snapshots, observer)
        .serve(listener, shutdown)
        .await
}

#[cfg(test)]
mod tests;
