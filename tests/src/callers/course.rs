//! What callers may see when nothing fails.

use anyhow::{Context, Result, ensure};

use super::{Call, History};

/// Fails unless one worker can have decided so: its filter and its table of
/// hosts go from each assignment to the next and never back, the table is ahead
/// of the filter by one at most and never behind, and every question went to
/// the owner in the table of that moment.
pub(super) fn expect_possible(
    history: &History,
    settled: &[(u64, usize)],
    calls: &[Call],
) -> Result<()> {
    let (mut filter, mut table) = (0, 0);
    let mut under = vec![0_usize; history.len()];
    for call in calls {
        let known = history.iter().position(|(epoch, _)| *epoch == call.epoch);
        let known = known.with_context(|| format!("unknown epoch: {call:?}"))?;
        ensure!(known >= filter, "an older assignment again: {call:?}");
        let newest = settled.iter().filter(|(_, first)| call.number >= *first);
        let newest = newest.map(|(epoch, _)| *epoch).max();
        ensure!(
            newest.is_none_or(|newest| call.epoch >= newest),
            "routed by an assignment that no worker has any more, after {newest:?}: {call:?}"
        );
        filter = known;
        under[known] += 1;
        let possible = table.max(known)..=known + 1;
        let mut owners = possible.clone().zip(history.iter().skip(*possible.start()));
        let matching = owners.find(|(_, (_, assignment))| {
            let owner = assignment.owner(call.key.as_bytes());
            owner.is_some_and(|owner| owner.member.address == call.address)
        });
        (table, _) = matching
            .with_context(|| format!("not at the owner in assignments {possible:?} of {call:?}"))?;
    }
    ensure!(
        under.iter().all(|&calls| calls > 0),
        "of some assignments there is no call: {under:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::{assignment, keys};
    use sharding::{Assignment, Member as Entry, Policy};

    const SETTLED: [(u64, usize); 2] = [(10, 0), (11, 50)];

    fn address(member: u16) -> SocketAddr {
        ([127, 0, 0, 1], member).into()
    }

    /// Under epoch 10 all is at 1, under 11 all at 2, under 12 all at 1 again.
    fn history() -> Vec<(u64, Assignment)> {
        let only = |member: u16| {
            let entry = Entry::new(format!("m{member}"), address(member), 1);
            assignment(Policy::default(), vec![entry]).unwrap()
        };
        vec![(10, only(1)), (11, only(2)), (12, only(1))]
    }

    fn judge(calls: &[(usize, u64, u16)]) -> Result<()> {
        let key = keys(1).remove(0);
        let call = |&(number, epoch, member)| Call {
            number,
            key: key.clone(),
            epoch,
            address: address(member),
        };
        let calls: Vec<_> = calls.iter().map(call).collect();
        expect_possible(&history(), &SETTLED, &calls)
    }

    fn refused(calls: &[(usize, u64, u16)], because: &str) {
        let error = format!("{:#}", judge(calls).unwrap_err());
        assert!(error.contains(because), "{error}");
    }

    #[test]
    fn a_table_may_be_one_assignment_ahead_of_the_filter() {
        judge(&[
            (0, 10, 1),
            (1, 10, 2),
            (60, 11, 2),
            (61, 11, 1),
            (62, 12, 1),
        ])
        .unwrap();
    }

    #[test]
    fn a_table_never_goes_back() {
        refused(&[(0, 10, 1), (1, 10, 2), (2, 10, 1)], "not at the owner");
    }

    #[test]
    fn a_table_is_never_behind_the_filter() {
        refused(&[(0, 10, 1), (1, 11, 2), (2, 12, 2)], "not at the owner");
    }

    #[test]
    fn a_filter_never_goes_back() {
        refused(&[(0, 10, 1), (1, 11, 2), (2, 10, 2)], "older assignment");
    }

    #[test]
    fn what_every_worker_has_is_not_undone() {
        refused(&[(0, 10, 1), (50, 10, 2)], "no worker has any more");
    }

    #[test]
    fn a_caller_who_saw_too_little_proves_nothing() {
        refused(&[(0, 10, 1), (60, 11, 2)], "there is no call");
    }
}
