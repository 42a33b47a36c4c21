//! What a member remembers of the keyed requests that it got.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::{HeaderMap, Request};
use sharding::{SHARD_EPOCH, SHARD_KEY, SHARD_OWNER};

/// A keyed request, as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its path and query.
    pub path: String,
    /// Its shard key.
    pub key: String,
    /// The epoch under which it was routed.
    pub epoch: u64,
    /// Id of the owner that the router expected.
    pub owner: String,
    /// The connection that it came on: behind it is one worker of one Envoy.
    pub connection: u64,
    /// When it arrived.
    pub at: Instant,
    /// Whether its response stays open.
    pub is_stream: bool,
    /// When the member lost it, if it is a stream that has ended.
    pub ended: Option<Instant>,
}

impl Arrival {
    /// Which of the watches of a [`crate::Watchers`] it is.
    #[must_use]
    pub fn watch(&self) -> Option<usize> {
        let (_, number) = self.path.rsplit_once("?watch=")?;
        number.parse().ok()
    }
}

/// All arrivals since the member started, in order.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    next: u64,
    /// By when they came.
    all: BTreeMap<u64, Arrival>,
}

/// A stream while it is open: tells when it ends.
#[derive(Debug)]
pub(super) struct OpenStream {
    arrivals: Arc<Arrivals>,
    number: u64,
}

impl Arrivals {
    pub(super) fn all(&self) -> Vec<Arrival> {
        self.lock().all.values().cloned().collect()
    }

    /// Forgets all but the streams that are open.
    pub(super) fn forget_past(&self) {
        let is_open = |arrival: &Arrival| arrival.is_stream && arrival.ended.is_none();
        self.lock().all.retain(|_, arrival| is_open(arrival));
    }

    /// Notes a request, if it has a key.
    pub(super) fn note<B>(
        self: &Arc<Self>,
        request: &Request<B>,
        connection: u64,
        is_stream: bool,
    ) -> Option<OpenStream> {
        let arrival = Arrival {
            path: request.uri().to_string(),
            key: text(request.headers(), SHARD_KEY)?,
            epoch: text(request.headers(), SHARD_EPOCH)?.parse().ok()?,
            owner: text(request.headers(), SHARD_OWNER).unwrap_or_default(),
            connection,
            at: Instant::now(),
            is_stream,
            ended: None,
        };
        let mut noted = self.lock();
        let number = noted.next;
        noted.next += 1;
        noted.all.insert(number, arrival);
        is_stream.then(|| OpenStream {
            arrivals: self.clone(),
            number,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrivals.lock().all.get_mut(&self.number) {
            arrival.ended = Some(Instant::now());
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
