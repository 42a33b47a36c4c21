//! What callers may see when anything fails at any moment.
//!
//! A cut between members and filter leaves a worker's table ahead of its filter,
//! by as many assignments as are cut so; a control plane that has lost its last
//! state hands out what it has before it knows better, which tables take and
//! filters ignore. What never is: a table that is behind its filter, or goes back
//! in the order in which assignments were handed out, or a host that is not the
//! owner in it.

use anyhow::{Context, Result, ensure};
use sharding::Assignment;

use super::Call;

/// An assignment that was handed out.
#[derive(Debug)]
pub struct HandedOut {
    /// Its epoch.
    pub epoch: u64,
    /// What it is; `None` if the control plane was killed before it could be
    /// asked: then any member may be the owner.
    pub assignment: Option<Assignment>,
}

impl HandedOut {
    fn is_owner(&self, call: &Call) -> bool {
        let Some(assignment) = &self.assignment else {
            return true;
        };
        let owner = assignment.owner(call.key.as_bytes());
        owner.is_some_and(|owner| owner.member.address == call.address)
    }
}

/// Fails unless one worker can have decided so while these assignments were
/// handed out, in this order.
pub(super) fn expect_possible(all: &[HandedOut], calls: &[Call]) -> Result<()> {
    let (mut epoch, mut table) = (0, 0);
    for call in calls {
        ensure!(
            call.epoch >= epoch,
            "an older assignment again, after {epoch}: {call:?}"
        );
        epoch = call.epoch;
        let known = all.iter().position(|handed| handed.epoch == epoch);
        let known = known.with_context(|| format!("never handed out: {call:?}"))?;
        let possible = table.max(known);
        let mut further = all.iter().skip(possible);
        let found = further.position(|handed| handed.is_owner(call));
        let epochs: Vec<_> = all.iter().map(|handed| handed.epoch).collect();
        table = possible
            + found.with_context(|| {
                format!("not at the owner from number {possible} on of {epochs:?}: {call:?}")
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{assignment, keys};
    use sharding::{Member as Entry, Policy};
    use std::net::SocketAddr;

    fn address(member: u16) -> SocketAddr {
        ([127, 0, 0, 1], member).into()
    }

    /// Of these epochs, with everything at one member.
    fn all(handed: &[(u64, Option<u16>)]) -> Vec<HandedOut> {
        let only = |member: u16| {
            let entry = Entry::new(format!("m{member}"), address(member), 1);
            assignment(Policy::default(), vec![entry]).unwrap()
        };
        let handed = handed.iter().map(|&(epoch, member)| HandedOut {
            epoch,
            assignment: member.map(only),
        });
        handed.collect()
    }

    fn judge(handed: &[(u64, Option<u16>)], calls: &[(u64, u16)]) -> Result<()> {
        let key = keys(1).remove(0);
        let call = |(number, &(epoch, member))| Call {
            number,
            key: key.clone(),
            epoch,
            address: address(member),
        };
        let calls: Vec<_> = calls.iter().enumerate().map(call).collect();
        expect_possible(&all(handed), &calls)
    }

    const THREE: [(u64, Option<u16>); 3] = [(10, Some(1)), (11, Some(2)), (12, Some(3))];

    #[test]
    fn a_table_may_be_ahead_of_its_filter_by_all_that_was_cut() {
        judge(&THREE, &[(10, 1), (10, 2), (10, 3), (12, 3)]).unwrap();
    }

    #[test]
    fn a_table_never_goes_back_nor_is_behind() {
        judge(&THREE, &[(10, 2), (10, 1)]).unwrap_err();
        judge(&THREE, &[(11, 1)]).unwrap_err();
        judge(&THREE, &[(12, 3), (12, 2)]).unwrap_err();
    }

    #[test]
    fn a_filter_never_goes_back_and_knows_nothing_of_its_own() {
        judge(&THREE, &[(11, 3), (10, 3)]).unwrap_err();
        judge(&THREE, &[(13, 3)]).unwrap_err();
    }

    #[test]
    fn an_old_state_is_handed_out_again_to_tables_only() {
        let handed = [(10, Some(1)), (11, Some(2)), (10, Some(1)), (12, Some(3))];
        judge(&handed, &[(10, 1), (11, 2), (11, 1), (12, 3)]).unwrap();
        judge(&handed, &[(11, 2), (11, 1), (11, 2)]).unwrap_err();
    }

    #[test]
    fn of_what_nobody_knows_any_member_may_be_the_owner() {
        judge(&[(10, Some(1)), (11, None)], &[(10, 7), (11, 8)]).unwrap();
        judge(&[(10, None), (11, Some(1))], &[(11, 7)]).unwrap_err();
    }
}
