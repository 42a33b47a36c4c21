//! From one assignment to the next: who owns what, and which streams have to
//! end for it.

mod board;
mod change;
mod collector;
pub mod driver;
pub mod machine;
mod metrics;
mod plan;
mod proposal;
mod record;
mod store;
mod view;

use sharding::{Drain, FilterConfig, Roster};

pub use board::{Board, Shown};
pub use change::{Cause, Change, changes};
pub use collector::register;
pub use metrics::Metrics;
pub use plan::{Move, Plan, PlanBasis, Planned, Returning, Slots, Streams, returning, shares};
pub use proposal::{Proposal, ProposalError};
pub use record::{Outcome, PlanSummary, Record};
pub use view::{Behind, ProxyView, Reason, View, VmView};

/// The message for `roster` under `template`, which holds the drain. Its own
/// epoch and members do not count.
///
/// The epoch is above that of `last` and not below the unix time in
/// milliseconds, `now_ms`: when the state file is lost, the epoch still does
/// not go back, unless the clock does.
#[must_use]
pub fn next(
    last: Option<&FilterConfig>,
    roster: Roster,
    template: &FilterConfig,
    now_ms: u64,
) -> FilterConfig {
    FilterConfig {
        epoch: last.map_or(now_ms, |last| now_ms.max(last.epoch.saturating_add(1))),
        members: Some(roster),
        drain: Drain::Hold,
        ..template.clone()
    }
}

/// Whether `last` already says what [`next`] would, but for the drain.
pub(crate) fn same_but_drain(
    last: &FilterConfig,
    template: &FilterConfig,
    roster: &Roster,
) -> bool {
    let wanted = FilterConfig {
        epoch: last.epoch,
        drain: last.drain,
        members: Some(roster.clone()),
        ..template.clone()
    };
    *last == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharding::Member;

    fn roster(ports: &[u16]) -> Roster {
        let members = ports
            .iter()
            .map(|&port| Member::new(format!("m{port}"), ([127, 0, 0, 1], port).into(), 1));
        Roster::new(members.collect()).unwrap()
    }

    #[test]
    fn the_first_epoch_is_the_time() {
        let template = FilterConfig::new(0, "c");
        assert_eq!(next(None, roster(&[1]), &template, 1000).epoch, 1000);
    }

    #[test]
    fn the_same_members_in_another_order_are_the_same() {
        let template = FilterConfig::new(0, "c");
        let mut first = next(None, roster(&[1, 2]), &template, 1000);
        first.drain = Drain::Release { window_ms: 5 };
        assert!(same_but_drain(&first, &template, &roster(&[2, 1])));
        assert!(!same_but_drain(&first, &template, &roster(&[2])));
        let other = FilterConfig::new(0, "d");
        assert!(!same_but_drain(&first, &other, &roster(&[2, 1])));
    }

    #[test]
    fn any_epoch_is_higher_than_the_last_even_when_the_clock_went_back() {
        let template = FilterConfig::new(0, "c");
        let first = next(None, roster(&[1]), &template, 1000);
        let second = next(Some(&first), roster(&[1, 2]), &template, 5);
        assert_eq!(second.epoch, 1001);
        let third = next(Some(&second), roster(&[1, 2]), &template, 2000);
        assert_eq!(third.epoch, 2000);
    }
}
