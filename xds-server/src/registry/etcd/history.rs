//! Whether etcd still knows what it knew.

use std::time::Duration;

use tokio::time::Instant;

use super::protocol::Header;

/// How long members may take to register again with an etcd that has lost its
/// data: several times a usual lease, after which they notice at the latest.
const RETURNING: Duration = Duration::from_mins(1);

/// The last that was seen of etcd's history.
///
/// Data that was lost, or restored from some time ago, shows in another cluster
/// or in a revision that went back. What such an etcd has is a beginning, not
/// news of who has left.
#[derive(Debug, Default)]
pub(super) struct History {
    seen: Option<Header>,
    /// Until when what it lacks is not believed.
    doubtful_until: Option<Instant>,
}

impl History {
    /// Everything was read, as of there.
    pub(super) fn is_read(&mut self, now: Header, at: Instant) {
        let is_other = self
            .seen
            .is_some_and(|seen| seen.cluster_id != now.cluster_id || seen.revision > now.revision);
        if is_other {
            self.doubtful_until = Some(at + RETURNING);
        }
        self.seen = Some(now);
    }

    /// A watch has got there. Its answers may overtake each other, so that one
    /// from before means nothing.
    pub(super) fn goes_on(&mut self, now: Header) {
        if let Some(seen) = &mut self.seen {
            seen.revision = seen.revision.max(now.revision);
        }
    }

    pub(super) fn is_doubtful(&self, at: Instant) -> bool {
        self.doubtful_until.is_some_and(|until| at < until)
    }

    /// It has everything that it had.
    pub(super) fn trust(&mut self) {
        self.doubtful_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster_id: u64, revision: i64) -> Header {
        Header {
            cluster_id,
            revision,
        }
    }

    #[test]
    fn a_history_that_goes_on_is_believed() {
        let (mut history, now) = (History::default(), Instant::now());
        for revision in [5, 5, 9] {
            history.is_read(header(1, revision), now);
            assert!(!history.is_doubtful(now));
        }
        history.goes_on(header(1, 12));
        history.goes_on(header(1, 10));
        assert!(!history.is_doubtful(now));
        history.is_read(header(1, 11), now);
        assert!(history.is_doubtful(now));
    }

    #[test]
    fn another_history_is_doubtful_until_it_is_complete_or_time_is_up() {
        for other in [header(2, 100), header(1, 4)] {
            let (mut history, now) = (History::default(), Instant::now());
            history.is_read(header(1, 5), now);
            history.is_read(other, now);
            assert!(history.is_doubtful(now));
            // It goes on from there, and the time with it.
            history.is_read(other, now + RETURNING / 2);
            assert!(history.is_doubtful(now + RETURNING / 2));
            assert!(!history.is_doubtful(now + RETURNING));
            history.is_read(header(3, 1), now);
            history.trust();
            assert!(!history.is_doubtful(now));
        }
    }
}
