//! One stream: a session between the proxy's requests and the snapshots.
//!
//! There is no task and no channel. The stream is polled by the connection,
//! and only while the proxy has room for more; when it has, it is given what
//! it lacks of the snapshot of that moment. A proxy that does not read costs
//! one response in the connection's buffer, delays nobody, skips what it
//! missed, and its state is dropped with the connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{Stream, stream};
use prost::Message;
use tokio::sync::watch;
use tonic::{Status, Streaming};
use tracing::{debug, warn};

use crate::ads::connection::Stop;
use crate::ads::observer::{Holding, Mode, Proxy, ProxyObserver, Push, shortened};
use crate::ads::progress::Verdict;
use crate::ads::session::{Session, StreamId, Turn};
use crate::snapshot::{ResourceType, Snapshot};

/// What a stream needs of its surroundings.
pub(crate) struct Context {
    pub(crate) id: StreamId,
    pub(crate) mode: Mode,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) observer: Arc<dyn ProxyObserver>,
    pub(crate) stop: Stop,
}

struct Driver<S: Session> {
    session: S,
    requests: Streaming<S::Request>,
    context: Context,
    proxy: Option<Proxy>,
    /// What of the latest pass is still to be taken by the connection.
    outgoing: VecDeque<S::Response>,
    warned_of_type: bool,
    ended: bool,
}

/// The responses of a stream.
pub(crate) fn run<S>(
    session: S,
    requests: Streaming<S::Request>,
    context: Context,
) -> impl Stream<Item = Result<S::Response, Status>> + Send
where
    S: Session + Send,
    S::Request: Message + Default + 'static,
    S::Response: Message,
{
    let driver = Driver {
        session,
        requests,
        context,
        proxy: None,
        outgoing: VecDeque::new(),
        warned_of_type: false,
        ended: false,
    };
    stream::unfold(driver, |mut driver| async move {
        let item = driver.next().await?;
        Some((item, driver))
    })
}

impl<S> Driver<S>
where
    S: Session,
    S::Request: Message + Default + 'static,
    S::Response: Message,
{
    async fn next(&mut self) -> Option<Result<S::Response, Status>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(response) = self.outgoing.pop_front() {
                self.tell_push(&response);
                return Some(Ok(response));
            }
            tokio::select! {
                biased;
                () = self.context.stop.requested() => {
                    self.ended = true;
                    return Some(Err(Status::unavailable("control plane is shutting down")));
                }
                // When the sender is gone the last snapshot stays in force.
                Ok(()) = self.context.snapshots.changed() => {
                    let snapshot = latest(&mut self.context.snapshots);
                    self.outgoing.extend(self.session.on_snapshot(&snapshot));
                    self.tell_holdings(&snapshot);
                }
                request = self.requests.message() => match request {
                    Ok(Some(request)) => self.on_request(request),
                    Ok(None) => return None,
                    Err(error) => {
                        debug!(stream = %self.context.id, %error, "Stream broken");
                        return None;
                    }
                },
            }
        }
    }

    fn on_request(&mut self, mut request: S::Request) {
        let Context {
            id, mode, address, ..
        } = self.context;
        let node = S::node(&mut request);
        let observer = &self.context.observer;
        let proxy = self.proxy.get_or_insert_with(|| {
            let proxy = Proxy::new(node, address, mode);
            observer.connected(id, &proxy);
            proxy
        });
        let type_url = S::type_url(&request).to_owned();
        let snapshot = latest(&mut self.context.snapshots);
        let Turn {
            kind,
            verdict,
            refused,
            responses,
        } = self.session.on_request(request, &snapshot);
        self.outgoing.extend(responses);
        let Some(kind) = kind else {
            if !std::mem::replace(&mut self.warned_of_type, true) {
                let type_url = shortened(type_url);
                warn!(stream = %id, node = proxy.node, type_url, "Request for a type that is not served ignored");
            }
            return;
        };
        if refused > 0 {
            warn!(stream = %id, node = proxy.node, %kind, refused, "Too many resource names, some ignored");
        }
        match verdict {
            Some(Verdict::Acked { version }) => observer.acked(id, proxy, kind, &version),
            Some(Verdict::Nacked { version, message }) => {
                observer.nacked(id, proxy, kind, &version, &shortened(message));
            }
            None => {}
        }
        self.tell_holdings(&snapshot);
    }

    fn tell_push(&self, response: &S::Response) {
        let (type_url, version) = S::label(response);
        let kind = ResourceType::from_type_url(type_url);
        if let (Some(kind), Some(proxy)) = (kind, &self.proxy) {
            let push = Push {
                kind,
                version,
                bytes: response.encoded_len(),
            };
            self.context.observer.pushed(self.context.id, proxy, push);
        }
    }

    /// All types at once: a request about one can send responses of others.
    fn tell_holdings(&self, snapshot: &Arc<Snapshot>) {
        for kind in ResourceType::ALL {
            let progress = self.session.progress(kind);
            if progress.started {
                let (id, observer) = (self.context.id, &self.context.observer);
                observer.holds(id, kind, Holding(progress), snapshot);
            }
        }
    }
}

fn latest(snapshots: &mut watch::Receiver<Arc<Snapshot>>) -> Arc<Snapshot> {
    Arc::clone(&snapshots.borrow_and_update())
}

impl<S: Session> Drop for Driver<S> {
    fn drop(&mut self) {
        if let Some(proxy) = &self.proxy {
            self.context.observer.disconnected(self.context.id, proxy);
        }
    }
}
