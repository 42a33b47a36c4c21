//! Members that requests do not reach.
//!
//! The control plane ejects nobody on its own word alone while there are
//! proxies: they have to find the member dead as well. Two things say so here.
//! Envoy answers in the member's place, since it could not connect or the
//! connection broke; or unary calls wait for an answer, or for longer than they
//! may, which alone ejects nobody. One answer of the member takes it all back. Where a request is, is taken from the prediction, and what
//! Envoy answers by the number of its headers, so that a request that is well
//! costs no call of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::host::{Host, HostError};

/// Most headers of an answer that Envoy gives itself (read in its source,
/// `local_reply.cc`, `utility.cc`): status, type and length, or for gRPC status,
/// type and the two of gRPC. One that is mapped to have more is found while
/// others are looked at.
pub(super) const MOST_HEADERS: usize = 4;

/// A unary call that waits for so long for its answer may wait in vain.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// What was seen so long ago says nothing any more.
const MEMORY: Duration = Duration::from_secs(10);

const FLAGS: &[&str] = &["response", "flags"];

/// Bits of `response.flags` (Envoy's `CoreResponseFlag`): upstream connection
/// failure, upstream connection termination.
const UNREACHED: u64 = 1 << 5 | 1 << 6;

/// The like: upstream request timeout. How long that is, is up to the route.
const UNANSWERED: u64 = 1 << 2;

/// What the member did not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    /// Take the request.
    ToBeReached,
    /// Answer it in time.
    ToAnswer,
}

/// See the module. By the address of the member.
#[derive(Debug, Default)]
pub(super) struct Reach(BTreeMap<SocketAddr, Row>);

/// Since its last answer.
#[derive(Debug, Default)]
struct Row {
    /// Requests that Envoy answered in its place, since they did not reach it.
    unreached: u64,
    /// The like, since it took too long.
    timed_out: u64,
    /// Looks in a row at which calls waited for it.
    silent: u64,
    last: Duration,
}

impl Reach {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether all members are reached, as far as is known.
    pub(super) fn is_well(&self) -> bool {
        self.0.is_empty()
    }

    /// Envoy answered a request in the place of that member.
    pub(super) fn failed(&mut self, address: SocketAddr, failing: Failing, now: Duration) {
        let row = self.0.entry(address).or_default();
        let count = match failing {
            Failing::ToBeReached => &mut row.unreached,
            Failing::ToAnswer => &mut row.timed_out,
        };
        *count = count.saturating_add(1);
        row.last = now;
    }

    /// That member has answered.
    pub(super) fn answered(&mut self, address: SocketAddr) {
        self.0.remove(&address);
    }

    /// A look at all requests: calls wait for these members.
    pub(super) fn look(&mut self, silent: &BTreeSet<SocketAddr>, now: Duration) {
        for (address, row) in &mut self.0 {
            if !silent.contains(address) {
                row.silent = 0;
            }
        }
        for address in silent {
            let row = self.0.entry(*address).or_default();
            row.silent = row.silent.saturating_add(1);
            row.last = now;
        }
        self.0
            .retain(|_, row| now.saturating_sub(row.last) < MEMORY);
    }

    /// Requests in a row that did not reach that member.
    pub(super) fn unreached(&self, address: SocketAddr) -> u64 {
        self.0.get(&address).map_or(0, |row| row.unreached)
    }

    /// Calls in a row that waited for that member in vain, and looks in a row at
    /// which some wait, from the second on: until then another answer may have
    /// come.
    pub(super) fn unanswered(&self, address: SocketAddr) -> u64 {
        let row = self.0.get(&address);
        row.map_or(0, |row| {
            row.timed_out.saturating_add(row.silent.saturating_sub(1))
        })
    }
}

/// What the member fails to do, if Envoy answers the current request in its
/// place for that.
///
/// # Errors
/// When the host does not say.
pub(super) fn failing(host: &impl Host) -> Result<Option<Failing>, HostError> {
    let flags = match host.property(FLAGS) {
        Ok(flags) => flags,
        Err(HostError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let flags = <[u8; 8]>::try_from(flags.as_slice()).map_or(0, u64::from_le_bytes);
    Ok(if flags & UNREACHED != 0 {
        Some(Failing::ToBeReached)
    } else if flags & UNANSWERED != 0 {
        Some(Failing::ToAnswer)
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn failures_count_until_an_answer() {
        let mut reach = Reach::new();
        assert!(reach.is_well());
        reach.failed(address(1), Failing::ToBeReached, SECOND);
        reach.failed(address(1), Failing::ToBeReached, SECOND);
        reach.failed(address(2), Failing::ToBeReached, SECOND);
        assert_eq!(
            (reach.unreached(address(1)), reach.unreached(address(3))),
            (2, 0)
        );
        reach.answered(address(1));
        assert_eq!(
            (reach.unreached(address(1)), reach.unreached(address(2))),
            (0, 1)
        );
    }

    #[test]
    fn silence_counts_when_it_lasts_without_an_answer_in_between() {
        let mut reach = Reach::new();
        let silent = BTreeSet::from([address(1)]);
        reach.look(&silent, SECOND);
        assert_eq!(reach.unanswered(address(1)), 0);
        reach.answered(address(1));
        reach.look(&silent, SECOND * 2);
        assert_eq!(reach.unanswered(address(1)), 0);
        reach.look(&silent, SECOND * 3);
        assert_eq!(reach.unanswered(address(1)), 1);
        reach.look(&BTreeSet::new(), SECOND * 4);
        assert_eq!(reach.unanswered(address(1)), 0);
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut reach = Reach::new();
        reach.failed(address(1), Failing::ToBeReached, SECOND);
        reach.look(&BTreeSet::new(), SECOND * 10);
        assert_eq!(reach.unreached(address(1)), 1);
        reach.look(&BTreeSet::new(), SECOND * 11);
        assert!(reach.is_well());
    }
}
