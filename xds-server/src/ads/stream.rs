//! One stream: a session between the proxy's requests and the snapshots.
//!
//! There is no task and no channel. The stream is polled by the connection,
//! and only while the proxy has room for more; when it has, it is given what
//! it lacks of the snapshot of that moment. A proxy that does not read costs
//! one response in the connection's buffer, delays nobody, skips what it
//! missed, and its state is dropped with the connection.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{Stream, stream};
use hyper::body::Incoming;
use prost::Message;
use tokio::sync::watch;
use tonic::{Code, Status};
use tracing::{debug, warn};

use crate::ads::access::Peer;
use crate::ads::back_offs::BackOffs;
use crate::ads::connection::Stop;
use crate::ads::observer::{Holding, Mode, Proxy, ProxyObserver, Push, shortened};
use crate::ads::progress::Verdict;
use crate::ads::requests::Requests;
use crate::ads::session::{Session, StreamId, Turn};
use crate::snapshot::{ResourceType, Snapshot};

/// What a stream needs of its surroundings.
pub(crate) struct Context {
    pub(crate) id: StreamId,
    pub(crate) mode: Mode,
    pub(crate) peer: Peer,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) observer: Arc<dyn ProxyObserver>,
    pub(crate) stop: Stop,
    /// See [`Session::introduce`].
    pub(crate) salt: u64,
}

struct Driver<S: Session> {
    session: S,
    requests: Requests<S::Request, Incoming>,
    context: Context,
    proxy: Option<Proxy>,
    /// What of the latest pass is still to be taken by the connection.
    outgoing: VecDeque<S::Response>,
    back_offs: BackOffs,
    warned_of_type: bool,
    warned_of_hash_key: bool,
    ended: bool,
}

/// The responses of a stream.
pub(crate) fn run<S>(
    session: S,
    requests: Requests<S::Request, Incoming>,
    context: Context,
) -> impl Stream<Item = Result<S::Response, Status>> + Send
where
    S: Session + Send + Sync,
    S::Request: Message + Default + 'static,
    S::Response: Message,
{
    let driver = Driver {
        session,
        requests,
        context,
        proxy: None,
        outgoing: VecDeque::new(),
        back_offs: BackOffs::default(),
        warned_of_type: false,
        warned_of_hash_key: false,
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
            // Thousands of streams are at rest most of the time.
            self.outgoing = VecDeque::new();
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
                kind = self.back_offs.over(|kind| self.session.progress(kind)) => {
                    let snapshot = latest(&mut self.context.snapshots);
                    let responses = self.session.on_back_off(kind, &snapshot);
                    self.outgoing.extend(responses);
                    self.tell_holdings(&snapshot);
                }
                request = self.requests.next() => match request {
                    Ok(Some(request)) => if let Err(refused) = self.on_request(request) {
                        self.ended = true;
                        return Some(Err(refused));
                    },
                    Ok(None) => return None,
                    Err(error) => {
                        debug!(stream = %self.context.id, %error, "Stream broken");
                        if error.code() == Code::ResourceExhausted {
                            self.context.peer.refuse_message(&error);
                        }
                        self.ended = true;
                        return Some(Err(error));
                    }
                },
            }
        }
    }

    fn on_request(&mut self, mut request: S::Request) -> Result<(), Status> {
        let Context {
            id,
            mode,
            ref peer,
            ref observer,
            ..
        } = self.context;
        let node = S::node(&mut request);
        if self.proxy.is_none() {
            peer.admit(node.as_ref().map_or("", |node| &node.id))?;
        }
        let session = &mut self.session;
        let proxy = self.proxy.get_or_insert_with(|| {
            let proxy = Proxy::new(node, Some(peer.address()), mode);
            session.introduce(&proxy, self.context.salt);
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
            return Ok(());
        };
        if refused > 0 {
            warn!(stream = %id, node = proxy.node, %kind, refused, "Too many resource names, some ignored");
        }
        let subscription = &self.session.progress(kind).subscription;
        if let Some(denied) = subscription.denied(snapshot.of(kind))
            && !std::mem::replace(&mut self.warned_of_hash_key, true)
        {
            let (node, name) = (&proxy.node, denied.name());
            warn!(stream = %id, node, %kind, %name, "Client not served: members have names, and it does not say that it reads hash keys");
        }
        match verdict {
            Some(Verdict::Acked { version }) => observer.acked(id, proxy, kind, &version),
            Some(Verdict::Nacked { version, message }) => {
                observer.nacked(id, proxy, kind, &version, &shortened(message));
                let progress = self.session.progress(kind);
                self.back_offs.restart(kind, progress);
            }
            None => {}
        }
        self.tell_holdings(&snapshot);
        Ok(())
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
