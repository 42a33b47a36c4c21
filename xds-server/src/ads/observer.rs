//! What others may know of the proxies while they are served.

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{debug, info, warn};

use crate::ads::message::Node;
use crate::ads::progress::{Progress, Versions};
use crate::ads::session::StreamId;
use crate::ads::subscription::Subscription;
use crate::snapshot::{ResourceType, Snapshot};

/// The protocol variant of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `api_type: GRPC`.
    StateOfTheWorld,
    /// `api_type: DELTA_GRPC`.
    Delta,
}

impl Mode {
    /// Short name for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StateOfTheWorld => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// Longest text of a proxy that is kept, in bytes.
const MAX_TEXT: usize = 1024;

/// Who is at the other end of a stream. All but the address is what it says of
/// itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Node id, or `unknown`: what is served does not depend on it.
    pub node: String,
    /// The cluster of proxies that it belongs to; may be empty.
    pub cluster: String,
    /// Software and version; may be empty.
    pub software: String,
    /// Where the connection comes from.
    pub address: Option<SocketAddr>,
    /// Which protocol variant it speaks.
    pub mode: Mode,
}

impl Proxy {
    pub(crate) fn new(node: Option<Node>, address: Option<SocketAddr>, mode: Mode) -> Self {
        let node = node.unwrap_or_default();
        let version = node
            .user_agent_build_version
            .and_then(|build| build.version);
        let software = match version {
            Some(v) => format!(
                "{} {}.{}.{}",
                node.user_agent_name, v.major_number, v.minor_number, v.patch
            ),
            None => node.user_agent_name,
        };
        let id = if node.id.is_empty() {
            "unknown".to_owned()
        } else {
            node.id
        };
        Self {
            node: shortened(id),
            cluster: shortened(node.cluster),
            software: shortened(software),
            address,
            mode,
        }
    }
}

/// Cuts a text of a proxy to a length that a log line can bear.
pub(crate) fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// A response on its way to a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// What it is about.
    pub kind: ResourceType,
    /// Its version.
    pub version: &'a str,
    /// How long it is, without frames.
    pub bytes: usize,
}

/// How far a resource has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// The proxy has accepted it, or brought it along.
    Accepted,
    /// It was sent and the proxy has not answered.
    Sent,
    /// The proxy has refused the response that it was in, and keeps what it had.
    Rejected,
}

/// What a proxy wants of one type, and what of it it is known to have.
#[derive(Debug, Clone, Copy)]
pub struct Holding<'a>(pub(crate) &'a Progress);

impl<'a> Holding<'a> {
    /// What it asked for.
    #[must_use]
    pub fn subscription(self) -> &'a Subscription {
        &self.0.subscription
    }

    /// What it last accepted, or brought along: versions by name.
    #[must_use]
    pub fn confirmed(self) -> &'a Versions {
        &self.0.confirmed
    }

    /// Every resource that it was sent or has, by name and version, and how far
    /// that has come. A name is there twice while the proxy has one version and
    /// was sent another.
    #[must_use]
    pub fn resources(self) -> Vec<(&'a Arc<str>, &'a Arc<str>, Reached)> {
        let Progress {
            sent, confirmed, ..
        } = self.0;
        let on_the_way = self.0.unanswered.names();
        let accepted = confirmed.iter();
        let accepted = accepted.map(|(name, version)| (name, version, Reached::Accepted));
        let others = sent.iter();
        let others = others.filter(|(name, version)| confirmed.get(*name) != Some(*version));
        let others = others.map(|(name, version)| {
            let is_on_the_way = on_the_way.contains(name);
            let reached = [Reached::Rejected, Reached::Sent][usize::from(is_on_the_way)];
            (name, version, reached)
        });
        let mut all: Vec<_> = accepted.chain(others).collect();
        all.sort_unstable_by_key(|&(name, version, reached)| (name, reached, version));
        all
    }

    /// Whether it had any of the type before this stream, by its first request:
    /// a process that has just started has none.
    #[must_use]
    pub fn is_back(self) -> bool {
        self.0.is_back
    }

    /// Whether it has accepted all that it wants of the resources of `kind` in
    /// `snapshot`, in just their versions, and nothing else of them is on its
    /// way. What it still has beyond them does not count.
    #[must_use]
    pub fn covers(self, kind: ResourceType, snapshot: &Snapshot) -> bool {
        self.0
            .subscription
            .wanted(snapshot.of(kind))
            .all(self.0.holds())
    }
}

/// Told what happens on the streams, from within them: implementations must
/// not block. The methods do nothing but log; one that is overridden takes that
/// over.
pub trait ProxyObserver: Send + Sync + 'static {
    /// A stream's first request came.
    fn connected(&self, stream: StreamId, proxy: &Proxy) {
        info!(
            %stream,
            node = proxy.node,
            address = proxy.address.map(tracing::field::display),
            software = proxy.software,
            mode = proxy.mode.name(),
            "Proxy connected"
        );
    }

    /// A response goes out.
    fn pushed(&self, stream: StreamId, proxy: &Proxy, push: Push<'_>) {
        let Push {
            kind,
            version,
            bytes,
        } = push;
        debug!(%stream, node = proxy.node, %kind, version, bytes, "Update sent");
    }

    /// The proxy accepted a response.
    fn acked(&self, stream: StreamId, proxy: &Proxy, kind: ResourceType, version: &str) {
        debug!(%stream, node = proxy.node, %kind, version, "Update accepted");
    }

    /// The proxy refused a response and keeps what it had. What it refused is
    /// not sent again on this stream until it changes.
    fn nacked(
        &self,
        stream: StreamId,
        proxy: &Proxy,
        kind: ResourceType,
        version: &str,
        reason: &str,
    ) {
        warn!(%stream, node = proxy.node, %kind, version, reason, "Update rejected");
    }

    /// After each request, and after it was given what it lacks of a new
    /// snapshot: what the proxy wants and has of each type that it asked for,
    /// and the snapshot of that moment. To know whether the proxy is done with
    /// it, ask [`Holding::covers`].
    fn holds(
        &self,
        stream: StreamId,
        kind: ResourceType,
        holding: Holding<'_>,
        snapshot: &Arc<Snapshot>,
    ) {
        let _ = (stream, kind, holding, snapshot);
    }

    /// The stream ended, for whatever reason. Called once for each `connected`.
    fn disconnected(&self, stream: StreamId, proxy: &Proxy) {
        info!(%stream, node = proxy.node, "Proxy disconnected");
    }
}

/// Logs and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOnly;

impl ProxyObserver for LogOnly {}
