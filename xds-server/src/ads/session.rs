//! What the two protocol variants have in common for the stream that runs
//! them.

use std::fmt;
use std::sync::Arc;

use crate::ads::message::{ControlPlane, Node};
use crate::ads::progress::{Progress, Verdict};
use crate::snapshot::{Published, ResourceType, Snapshot};

/// Names a stream in logs and for observers. Never reused by a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Turn<R> {
    /// The type that it was about; `None` when that is not served here, or not
    /// on this stream.
    pub(crate) kind: Option<ResourceType>,
    /// What it said of an earlier response.
    pub(crate) verdict: Option<Verdict>,
    /// Names that it asked for in vain, as there is no room to remember them.
    pub(crate) refused: usize,
    /// What to send now, in this order.
    pub(crate) responses: Vec<R>,
}

impl<R> Turn<R> {
    /// Of a request that is not about a type served on the stream. It is not
    /// answered: whether an empty answer deletes things or means "unchanged"
    /// depends on a type that is not known.
    pub(crate) fn ignored() -> Self {
        Self {
            kind: None,
            verdict: None,
            refused: 0,
            responses: Vec::new(),
        }
    }
}

/// One stream's state, without its transport.
pub(crate) trait Session {
    type Request;
    type Response;

    /// Who the proxy says it is, in the stream's first request.
    fn node(request: &mut Self::Request) -> Option<Node>;

    fn type_url(request: &Self::Request) -> &str;

    /// Takes in a request and says what the proxy lacks of `snapshot` now.
    fn on_request(
        &mut self,
        request: Self::Request,
        snapshot: &Arc<Snapshot>,
    ) -> Turn<Self::Response>;

    /// What the proxy lacks of `snapshot`.
    fn on_snapshot(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Self::Response>;

    fn progress(&self, kind: ResourceType) -> &Progress;

    /// Type URL and version of a response.
    fn label(response: &Self::Response) -> (&str, &str);
}

/// Progress of all types, and what every response of a stream shares.
#[derive(Debug)]
pub(crate) struct Types {
    only: Option<ResourceType>,
    identifier: String,
    stream: StreamId,
    nonces: u64,
    progress: [Progress; ResourceType::ALL.len()],
}

impl Types {
    /// `only` restricts the stream to one type, which its requests then need
    /// not name.
    pub(crate) fn new(stream: StreamId, identifier: &str, only: Option<ResourceType>) -> Self {
        Self {
            only,
            identifier: identifier.to_owned(),
            stream,
            nonces: 0,
            progress: Default::default(),
        }
    }

    pub(crate) fn resolve(&self, type_url: &str) -> Option<ResourceType> {
        match self.only {
            Some(only) if type_url.is_empty() => Some(only),
            only => ResourceType::from_type_url(type_url)
                .filter(|&kind| only.is_none_or(|only| only == kind)),
        }
    }

    pub(crate) fn of(&self, kind: ResourceType) -> &Progress {
        &self.progress[kind as usize]
    }

    pub(crate) fn of_mut(&mut self, kind: ResourceType) -> &mut Progress {
        &mut self.progress[kind as usize]
    }

    /// A nonce that no other response of the process has.
    pub(crate) fn nonce(&mut self) -> String {
        self.nonces += 1;
        format!("{}-{}", self.stream, self.nonces)
    }

    pub(crate) fn control_plane(&self) -> ControlPlane {
        ControlPlane {
            identifier: self.identifier.clone(),
        }
    }

    /// As `resources` go out, what depends on them has to follow.
    pub(crate) fn owe_dependents(&mut self, resources: &[Published]) {
        for (kind, name) in resources.iter().flat_map(Published::dependents) {
            self.of_mut(*kind).owed.insert(Arc::clone(name));
        }
    }
}
