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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;

mod accept;
mod access;
mod back_offs;
mod body;
mod codec;
mod connection;
mod delta;
mod flight;
mod gathering;
mod listener;
mod message;
#[cfg(test)]
mod model;
mod observer;
pub(crate) mod progress;
mod refusals;
mod requests;
mod rpc;
mod session;
mod sotw;
mod stream;
mod subscription;
#[cfg(test)]
pub(crate) mod support;

pub(crate) use access::Peer;
pub use access::{Access, Refusal, Refusals};
pub(crate) use listener::listen;
pub use observer::{Holding, LogOnly, Mode, Proxy, ProxyObserver, Push, Reached};
pub use progress::Versions;
pub use session::StreamId;
pub use subscription::Subscription;

use crate::snapshot::Snapshot;
use connection::Stop;
use rpc::Rpc;
use stream::Context;

/// The discovery services over one source of snapshots.
#[derive(Clone)]
pub struct AdsServer {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    observer: Arc<dyn ProxyObserver>,
    identifier: Arc<str>,
    others: Routes,
    streams: Arc<AtomicU64>,
    /// Unlike that of any earlier process.
    salt: u64,
    access: Access,
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
            salt: salt(),
            access: Access::default(),
        }
    }

    /// Names this replica: Envoy shows it as `control_plane.identifier`.
    #[must_use]
    pub fn with_identifier(mut self, identifier: impl Into<Arc<str>>) -> Self {
        self.identifier = identifier.into();
        self
    }

    /// Lets in by these rules; left out, anybody, within the default limits.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
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
        let access = self.access.clone();
        let service = move |request, peer| {
            let (server, stopped) = (self.clone(), stopped.clone());
            async move { server.respond(request, peer, stopped).await }
        };
        accept::accept(listener, access, service, stop, shutdown).await
    }

    async fn respond(
        mut self,
        mut request: Request<Incoming>,
        peer: Peer,
        stop: Stop,
    ) -> Response<Body> {
        let Some(Rpc { mode, only }) = Rpc::from_path(request.uri().path()) else {
            request.extensions_mut().insert(peer);
            return match self.others.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        };
        let id = StreamId(self.streams.fetch_add(1, Ordering::Relaxed) + 1);
        let context = Context {
            id,
            mode,
            peer,
            snapshots: self.snapshots,
            observer: self.observer,
            stop,
            // A stream varies less than 4 Gi times.
            salt: self.salt.wrapping_add(id.0 << 32),
        };
        let largest = self.access.limits.message_bytes as usize;
        match mode {
            Mode::StateOfTheWorld => {
                let session = sotw::Session::new(id, &self.identifier, only);
                rpc::exchange(session, request, context, largest)
            }
            Mode::Delta => {
                let session = delta::Session::new(id, &self.identifier, only);
                rpc::exchange(session, request, context, largest)
            }
        }
    }
}

/// The time, which no two processes share.
fn salt() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since_epoch.unwrap_or_default().as_nanos();
    u64::try_from(nanos).unwrap_or_default()
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
