//! The open streams of a VM, and the ends of those whose key has got another
//! owner.
//!
//! Nothing is remembered of what an assignment has changed. Each new one, and a
//! slow tick, compares every stream with the owner that its key has now
//! ([`survey`]); what was missed once is found by the next look. A stream that
//! was routed under the assignment in use is never ended, so each ends at most
//! once for each assignment, and none at all while requests go elsewhere than
//! predicted ([`trust`]).

pub mod open;
pub mod schedule;
pub mod survey;
pub mod trust;
pub mod upstream;

mod ending;
mod reach;
mod watching;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sharding::{Assignment, Drain as Permission, MemberStreams, Phase, Report};

use crate::derive::Request;
use crate::rpc::Protocol;
use crate::state::Current;

use open::{OpenStream, OpenStreams, Place, Upstream};
use reach::Reach;
use schedule::{Queue, Release};
use trust::Trust;

/// At least so much is between two looks at all streams, unless an assignment
/// comes. Less than a slow tick, whose timer is not exact.
const LOOK_EVERY: Duration = Duration::from_millis(900);

/// What a VM knows of its open streams.
#[derive(Debug)]
pub struct Drain {
    open: OpenStreams,
    current: Option<Rc<Current>>,
    /// How many assignments there have been.
    generation: u32,
    release: Option<Release>,
    queue: Queue,
    trust: Trust,
    reach: Reach,
    /// The last tick, or assignment.
    now: Duration,
    looked: Duration,
    /// The context that was asked last where it is, while others are left.
    asked: Option<u32>,
    /// Whether the next unary call is looked at.
    wants_call: bool,
    was_stopped: bool,
    seen: Seen,
    drained: u64,
    /// Whether there was ever a request with a key.
    is_used: bool,
}

/// The last look, and what was ended since.
#[derive(Debug, Default)]
struct Seen {
    open: u64,
    misplaced: u64,
    contradicting: u64,
    at: BTreeMap<SocketAddr, u64>,
}

/// How far a VM is with a rebalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Epoch of the assignment in use.
    pub epoch: u64,
    /// What becomes of streams that moved.
    pub phase: Phase,
    /// Whether none is misplaced.
    pub is_settled: bool,
}

/// How a configuration comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comes {
    /// With another assignment than before.
    pub is_new: bool,
    /// To a VM of an older module, which gets no requests any more.
    pub is_late: bool,
}

/// A request that is routed by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed {
    /// XXH64 of the key.
    pub hash: u64,
    /// Whether it is open until somebody ends it.
    pub is_stream: bool,
    /// What its caller speaks.
    pub protocol: Protocol,
}

impl Routed {
    /// That request, with the hash of its key.
    #[must_use]
    pub fn of(request: &Request<'_>, hash: u64) -> Self {
        Self {
            hash,
            is_stream: request.is_stream(),
            protocol: Protocol::of(request.headers),
        }
    }
}

impl Drain {
    /// Nothing is open.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            open: OpenStreams::new(),
            current: None,
            generation: 0,
            release: None,
            queue: Queue::new(),
            trust: Trust::new(),
            reach: Reach::new(),
            now: Duration::ZERO,
            looked: Duration::ZERO,
            asked: None,
            wants_call: false,
            was_stopped: false,
            seen: Seen {
                open: 0,
                misplaced: 0,
                contradicting: 0,
                at: BTreeMap::new(),
            },
            drained: 0,
            is_used: false,
        }
    }

    /// The first request is about to come. Nobody told the time before it.
    pub fn wake(&mut self, now: Duration) {
        self.now = now;
    }

    /// The request of that context goes on to a server.
    pub fn start(&mut self, id: u32, routed: Routed) {
        self.is_used = true;
        self.open.insert(
            id,
            OpenStream {
                hash: routed.hash,
                is_stream: routed.is_stream,
                generation: self.generation,
                opened: self.now,
                upstream: Upstream::Unknown,
                is_answered: false,
                protocol: routed.protocol,
            },
        );
    }

    /// It has ended.
    pub fn end_of(&mut self, id: u32) {
        self.open.remove(id);
    }

    /// The time of the last tick or assignment.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What is open.
    #[must_use]
    pub fn open_streams(&self) -> &OpenStreams {
        &self.open
    }

    /// Takes over a configuration that `comes` with another assignment, or with
    /// another permission to drain.
    pub fn assign(&mut self, current: &Rc<Current>, comes: Comes, now: Duration) {
        if comes.is_new {
            let is_doubted = self.is_wrong_under(current);
            self.generation = self.generation.wrapping_add(1);
            self.release = None;
            self.trust.renew(!comes.is_late, is_doubted);
            self.wants_call = true;
        }
        self.queue.clear();
        // Counted from its arrival, even if a second listener brings it again.
        let since = self.release.map_or(now, |release| release.since);
        self.release = match current.config.drain {
            Permission::Hold => None,
            Permission::Release { window_ms } => Some(Release {
                since,
                window: Duration::from_millis(window_ms),
            }),
        };
        self.current = Some(Rc::clone(current));
        self.now = now;
    }

    /// Whether a stream that contradicts the assignment in use is not where the
    /// `next` one says, either. One that only overtook it is.
    fn is_wrong_under(&self, next: &Current) -> bool {
        let before = self.assignment().filter(|_| self.trust.is_contradicted());
        let both = before.zip(next.assignment.as_deref());
        both.is_some_and(|((_, before), next)| {
            self.open.iter().any(|(_, stream)| {
                stream.place(before, self.generation) == Place::Contradicts
                    && stream.place(next, self.generation) == Place::Contradicts
            })
        })
    }

    /// How far it is; `None` where nothing is drained, and where there
    /// was no request yet.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        let (current, _) = self.assignment().filter(|_| self.is_used)?;
        Some(Step {
            epoch: current.config.epoch,
            phase: self.phase(),
            is_settled: self.seen.misplaced == 0,
        })
    }

    /// What the control plane is told at that step, but for who tells it.
    #[must_use]
    pub fn report(&self, step: Step) -> Report {
        let roster = self.assignment().map(|(_, assignment)| assignment.roster());
        let members = roster.map_or(&[][..], |roster| roster.members());
        let members = members.iter().filter_map(|member| {
            let open = self
                .seen
                .at
                .get(&member.address)
                .copied()
                .unwrap_or_default();
            let unreached = self.reach.unreached(member.address);
            let unanswered = self.reach.unanswered(member.address);
            (open > 0 || unreached > 0 || unanswered > 0).then(|| MemberStreams {
                id: member.id.clone(),
                open,
                unreached,
                unanswered,
            })
        });
        Report {
            epoch: step.epoch,
            phase: step.phase.into(),
            open: self.seen.open,
            misplaced: self.seen.misplaced,
            drained: self.drained,
            mismatched: self.seen.contradicting,
            members: members.collect(),
            ..Report::default()
        }
    }

    fn phase(&self) -> Phase {
        match self.release {
            _ if self.trust.has_stopped() => Phase::Stopped,
            Some(_) => Phase::Released,
            None => Phase::Hold,
        }
    }

    fn assignment(&self) -> Option<(&Current, &Assignment)> {
        let current = self.current.as_ref()?;
        Some((current, current.assignment.as_deref()?))
    }

    fn place(&self, id: u32) -> Option<Place> {
        let (_, assignment) = self.assignment()?;
        Some(self.open.get(id)?.place(assignment, self.generation))
    }

    fn grace(&self) -> Duration {
        let grace = |current: &Rc<Current>| current.config.unary_grace_ms;
        Duration::from_millis(self.current.as_ref().map_or(u64::MAX, grace))
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
