//! One stream of a proxy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kept::Keep;
use crate::ads::{Holding, Proxy, Reached};
use crate::api::TypeState;
use crate::snapshot::{ResourceType, Snapshot};

/// What a proxy needs to route by an assignment.
const NEEDED: [ResourceType; 3] = [
    ResourceType::Cluster,
    ResourceType::Endpoints,
    ResourceType::Extension,
];

/// How long a new stream may take to ask for all that it wants. Until then it
/// is not known whether it needs what it did not ask for.
const FRESH: Duration = Duration::from_secs(1);

const KINDS: usize = ResourceType::ALL.len();

/// What a stream has said.
#[derive(Debug)]
pub(super) struct ProxyState {
    pub(super) proxy: Proxy,
    pub(super) node: Arc<str>,
    since: Instant,
    /// Whether it had anything before this stream.
    pub(super) is_back: bool,
    /// The newest snapshot that it was given what it lacks of.
    seen: Option<Arc<Snapshot>>,
    /// By type: whether it asked for it, and has all that it wants of `seen`.
    asked: [bool; KINDS],
    covered: [bool; KINDS],
    /// By type: what of it the latest snapshot has changed, and is not accepted.
    changes: [Change; KINDS],
    /// Versions of the responses that it was sent last, and accepted last.
    pub(super) sent: [Option<Arc<str>>; KINDS],
    pub(super) acked: [Option<Arc<str>>; KINDS],
    pub(super) nacks: [Option<Nack>; KINDS],
    pub(super) kept: [Keep; KINDS],
}

/// What a snapshot means for a stream that had another before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Change {
    /// Nothing, or it is over.
    #[default]
    None,
    /// Not known yet.
    Unknown,
    /// There is something to accept.
    Pending,
}

/// What came of a look at what a proxy has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Whether it is not what it was.
    pub(super) is_news: bool,
    /// Whether it has just accepted all that the snapshot changed of the type.
    pub(super) took_over: bool,
}

/// The last response of a type that a proxy refused.
#[derive(Debug, Clone)]
pub(super) struct Nack {
    pub(super) version: String,
    pub(super) reason: String,
    /// Whether it has accepted another of the type since.
    pub(super) is_mended: bool,
}

impl ProxyState {
    pub(super) fn new(proxy: Proxy, now: Instant) -> Self {
        Self {
            node: proxy.node.as_str().into(),
            proxy,
            since: now,
            is_back: false,
            seen: None,
            asked: [false; KINDS],
            covered: [false; KINDS],
            changes: Default::default(),
            sent: Default::default(),
            acked: Default::default(),
            nacks: Default::default(),
            kept: Default::default(),
        }
    }

    /// Whether it has asked for that type on this stream.
    pub(super) fn has_asked(&self, kind: ResourceType) -> bool {
        self.asked[kind as usize]
    }

    /// Takes in what it has of `snapshot`.
    pub(super) fn holds(
        &mut self,
        kind: ResourceType,
        holding: Holding<'_>,
        snapshot: &Arc<Snapshot>,
    ) -> Look {
        let at = kind as usize;
        if !self.has_seen(snapshot) {
            let had_another = self.seen.replace(Arc::clone(snapshot)).is_some();
            self.covered = [false; KINDS];
            self.changes = self.asked.map(|asked| {
                if asked && had_another {
                    Change::Unknown
                } else {
                    Change::None
                }
            });
        }
        self.is_back |= holding.is_back();
        self.kept[at].update(kind, holding, snapshot);
        let covers = holding.covers(kind, snapshot);
        let asked = std::mem::replace(&mut self.asked[at], true);
        let covered = std::mem::replace(&mut self.covered[at], covers);
        let change = if covers {
            Change::None
        } else {
            Change::Pending
        };
        let before = match self.changes[at] {
            Change::None => Change::None,
            Change::Unknown | Change::Pending => std::mem::replace(&mut self.changes[at], change),
        };
        Look {
            is_news: !asked || covered != covers,
            took_over: before == Change::Pending && covers,
        }
    }

    pub(super) fn acked(&mut self, kind: ResourceType, version: &str) {
        self.acked[kind as usize] = Some(version.into());
        if let Some(nack) = &mut self.nacks[kind as usize] {
            nack.is_mended = true;
        }
    }

    /// How far it is with a type of `newest`; `None` if it never asked for it.
    pub(super) fn state(
        &self,
        kind: ResourceType,
        newest: Option<&Arc<Snapshot>>,
    ) -> Option<TypeState> {
        let at = kind as usize;
        let kept = &self.kept[at];
        let is_covered = self.covered[at] && newest.is_some_and(|newest| self.has_seen(newest));
        let state = if kept.all().is_empty() {
            TypeState::NotSent
        } else if is_covered {
            TypeState::Synced
        } else if kept.has(Reached::Rejected) {
            TypeState::Rejected
        } else {
            TypeState::Stale
        };
        self.asked[at].then_some(state)
    }

    fn has_seen(&self, snapshot: &Arc<Snapshot>) -> bool {
        let seen = self.seen.as_ref();
        seen.is_some_and(|seen| Arc::ptr_eq(seen, snapshot))
    }

    /// Whether it routes by `snapshot`: it has accepted cluster, endpoints and
    /// filter in just these versions.
    pub(super) fn covers(&self, snapshot: &Arc<Snapshot>, now: Instant) -> bool {
        let asked = |kind: &ResourceType| self.asked[*kind as usize];
        let is_fresh = now.saturating_duration_since(self.since) < FRESH;
        if is_fresh && !NEEDED.iter().all(asked) {
            return false;
        }
        let has_seen = self.has_seen(snapshot);
        let covered = |kind: &ResourceType| has_seen && self.covered[*kind as usize];
        NEEDED.iter().filter(|kind| asked(kind)).all(covered)
    }
}
