//! One look at everything that is open.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sharding::Assignment;

use super::open::{OpenStreams, Place, Upstream};

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many streams there are, and unary calls that are open for as long.
    pub open: u64,
    /// Those of them that are misplaced, by id of context and hash of key.
    pub misplaced: Vec<(u32, u64)>,
    /// Streams of an earlier assignment of which it is not known yet where they
    /// are.
    pub unplaced: u64,
    /// Requests of this assignment that are elsewhere than predicted.
    pub contradicting: u64,
    /// Requests of this assignment that are where they were predicted.
    pub right: u64,
    /// How many streams there are at each address.
    pub at: BTreeMap<SocketAddr, u64>,
    /// Where unary calls of this assignment wait for long, as predicted.
    pub silent: BTreeSet<SocketAddr>,
}

impl Survey {
    /// Looks at all of them under `assignment`, the VM's `generation`th.
    #[must_use]
    pub fn of(
        streams: &OpenStreams,
        assignment: &Assignment,
        generation: u32,
        (now, grace): (Duration, Duration),
    ) -> Self {
        let mut seen = Self::default();
        for (id, stream) in streams.iter() {
            let is_long = stream.is_long(now, grace);
            match stream.place(assignment, generation) {
                Place::Misplaced if is_long => seen.misplaced.push((id, stream.hash)),
                Place::Contradicts => seen.contradicting += 1,
                Place::Right => seen.right += u64::from(stream.generation == generation),
                Place::Misplaced | Place::Unknown => {}
            }
            if stream.generation == generation
                && stream.is_waiting(now)
                && let Some(owner) = assignment.owner_of_hash(stream.hash)
            {
                seen.silent.insert(owner.member.address);
            }
            let is_unplaced = is_long && stream.upstream == Upstream::Unknown;
            seen.unplaced += u64::from(is_unplaced && stream.generation != generation);
            if is_long {
                seen.open += 1;
                if let Upstream::At(address) = stream.upstream {
                    *seen.at.entry(address).or_default() += 1;
                }
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::open::OpenStream;
    use crate::rpc::Protocol;
    use proptest::prelude::*;
    use sharding::{Member, Policy, Roster};

    const GRACE: Duration = Duration::from_secs(30);
    const NOW: Duration = Duration::from_secs(100);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn assignment(ports: &[u16]) -> Assignment {
        let members = ports
            .iter()
            .map(|&port| Member::new(format!("m{port}"), address(port), 1));
        let policy = Policy::Maglev { table_size: 251 };
        Assignment::new(1, policy, Roster::new(members.collect()).unwrap())
    }

    fn stream(hash: u64, generation: u32, port: u16) -> OpenStream {
        OpenStream {
            hash,
            is_stream: true,
            generation,
            opened: NOW,
            upstream: Upstream::At(address(port)),
            is_answered: true,
            protocol: Protocol::Http,
        }
    }

    fn survey(streams: Vec<OpenStream>, assignment: &Assignment) -> Survey {
        let mut open = OpenStreams::new();
        for (id, stream) in (0..).zip(streams) {
            open.insert(id, stream);
        }
        Survey::of(&open, assignment, 2, (NOW, GRACE))
    }

    #[test]
    fn only_streams_of_an_earlier_assignment_are_misplaced() {
        let only_one = assignment(&[1]);
        let seen = survey(
            vec![
                stream(5, 1, 1),
                stream(6, 1, 2),
                stream(7, 2, 1),
                stream(8, 2, 2),
            ],
            &only_one,
        );
        assert_eq!(seen.misplaced, [(1, 6)]);
        assert_eq!((seen.open, seen.contradicting, seen.right), (4, 1, 1));
        assert_eq!(seen.at, BTreeMap::from([(address(1), 2), (address(2), 2)]));
    }

    #[test]
    fn a_unary_call_is_left_to_end_until_its_grace_is_over() {
        let only_one = assignment(&[1]);
        let call = |opened| OpenStream {
            is_stream: false,
            opened,
            ..stream(5, 1, 2)
        };
        let seen = survey(vec![call(NOW), call(NOW.saturating_sub(GRACE))], &only_one);
        assert_eq!((seen.open, seen.misplaced), (1, vec![(1, 5)]));
    }

    #[test]
    fn what_is_not_known_is_not_misplaced() {
        let unknown = OpenStream {
            upstream: Upstream::Unknown,
            ..stream(5, 1, 2)
        };
        assert_eq!(survey(vec![unknown], &assignment(&[1])).misplaced, []);
        // Nobody owns anything: a stream would have nowhere to go.
        assert_eq!(
            survey(vec![stream(5, 1, 2)], &assignment(&[])).misplaced,
            []
        );
    }

    #[test]
    fn a_member_that_serves_elsewhere_now_is_left() {
        let moved = Member::new("m1", address(9), 1);
        let policy = Policy::Maglev { table_size: 251 };
        let after = Assignment::new(2, policy, Roster::new(vec![moved]).unwrap());
        assert_eq!(survey(vec![stream(5, 1, 1)], &after).misplaced, [(0, 5)]);
    }

    proptest! {
        #[test]
        fn exactly_the_streams_that_moved_are_misplaced(
            hashes in proptest::collection::vec(any::<u64>(), 0..200),
            before in proptest::collection::btree_set(1_u16..9, 1..5),
            after in proptest::collection::btree_set(1_u16..9, 1..5),
        ) {
            let assignments = [before, after].map(|ports| assignment(&ports.into_iter().collect::<Vec<_>>()));
            let port = |assignment: &Assignment, hash| assignment.owner_of_hash(hash).unwrap().member.address.port();
            let streams = hashes.iter().map(|&hash| stream(hash, 1, port(&assignments[0], hash)));
            let seen = survey(streams.collect(), &assignments[1]);
            let expected: Vec<_> = (0..).zip(&hashes)
                .filter(|(_, hash)| port(&assignments[0], **hash) != port(&assignments[1], **hash))
                .map(|(id, hash)| (id, *hash))
                .collect();
            prop_assert_eq!(seen.misplaced, expected);
            prop_assert_eq!(seen.contradicting, 0);
        }
    }
}
