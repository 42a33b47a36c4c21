//! The requests that are open in a VM, as far as it matters when their key
//! gets another owner.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sharding::Assignment;

use crate::rpc::Protocol;

use super::reach::ANSWERED_WITHIN;

/// An open request that was routed by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStream {
    /// XXH64 of the key.
    pub hash: u64,
    /// Whether it is open until somebody ends it. Others are expected to end
    /// by themselves.
    pub is_stream: bool,
    /// Which assignment of the VM it was routed under, counted from its first.
    pub generation: u32,
    /// When it was routed, to the last tick.
    pub opened: Duration,
    /// Where it went.
    pub upstream: Upstream,
    /// Whether the headers of its response have come.
    pub is_answered: bool,
    /// What its caller speaks.
    pub protocol: Protocol,
}

/// Where a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// Not asked yet, or not connected yet.
    Unknown,
    /// To a server of the cluster.
    At(SocketAddr),
}

/// How an open request and an assignment go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where it is, is not known; or nobody owns its key.
    Unknown,
    /// It is with the owner of its key.
    Right,
    /// It was routed under an earlier assignment, and its key has another owner
    /// now.
    Misplaced,
    /// It was routed under this assignment and is with somebody else than it
    /// says: the prediction is wrong.
    Contradicts,
}

impl OpenStream {
    /// Whether it is treated as a stream: it is one, or has been open for too
    /// long to be taken for anything else.
    #[must_use]
    pub fn is_long(&self, now: Duration, grace: Duration) -> bool {
        self.is_stream || now.saturating_sub(self.opened) >= grace
    }

    /// Whether it is a unary call that waits for its answer for long.
    #[must_use]
    pub fn is_waiting(&self, now: Duration) -> bool {
        let waits = !self.is_answered && !self.is_stream;
        waits && now.saturating_sub(self.opened) >= ANSWERED_WITHIN
    }

    /// Compares where it is with who owns its key under `assignment`, the VM's
    /// `generation`th.
    #[must_use]
    pub fn place(&self, assignment: &Assignment, generation: u32) -> Place {
        let Upstream::At(upstream) = self.upstream else {
            return Place::Unknown;
        };
        match assignment.owner_of_hash(self.hash) {
            None => Place::Unknown,
            Some(owner) if owner.member.address == upstream => Place::Right,
            Some(_) if self.generation == generation => Place::Contradicts,
            Some(_) => Place::Misplaced,
        }
    }
}

/// All of them, by the id of their context.
#[derive(Debug, Default)]
pub struct OpenStreams {
    requests: BTreeMap<u32, OpenStream>,
    streams: u64,
}

impl OpenStreams {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            requests: BTreeMap::new(),
            streams: 0,
        }
    }

    /// Adds one.
    pub fn insert(&mut self, id: u32, stream: OpenStream) {
        self.streams += u64::from(stream.is_stream);
        let before = self.requests.insert(id, stream);
        self.forget(before.as_ref());
    }

    /// Takes one out: it has ended, or is about to.
    pub fn remove(&mut self, id: u32) -> Option<OpenStream> {
        let removed = self.requests.remove(&id);
        self.forget(removed.as_ref());
        removed
    }

    fn forget(&mut self, stream: Option<&OpenStream>) {
        self.streams -= u64::from(stream.is_some_and(|stream| stream.is_stream));
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&OpenStream> {
        self.requests.get(&id)
    }

    /// The headers of the response to one of them have come.
    pub fn answered(&mut self, id: u32) -> Option<&OpenStream> {
        let stream = self.requests.get_mut(&id)?;
        stream.is_answered = true;
        Some(stream)
    }

    /// One of them is at that address.
    pub fn found(&mut self, id: u32, address: SocketAddr) -> Option<&OpenStream> {
        let stream = self.requests.get_mut(&id)?;
        stream.upstream = Upstream::At(address);
        Some(stream)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &OpenStream)> {
        self.requests.iter().map(|(id, stream)| (*id, stream))
    }

    /// How many of them are streams.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.streams
    }

    /// Whether there is none, unary calls included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// At most `count` of those above the id `after` that have to be asked where
    /// they are, because an assignment later than theirs could end them.
    #[must_use]
    pub fn to_ask(
        &self,
        after: u32,
        count: usize,
        generation: u32,
        (now, grace): (Duration, Duration),
    ) -> Vec<u32> {
        let above = self.requests.range(after.saturating_add(1)..);
        above
            .filter(|(_, stream)| {
                stream.upstream == Upstream::Unknown
                    && stream.generation != generation
                    && stream.is_long(now, grace)
            })
            .map(|(id, _)| *id)
            .take(count)
            .collect()
    }
}
