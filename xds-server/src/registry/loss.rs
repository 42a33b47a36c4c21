//! A sudden loss of most members.
//!
//! Who edits a members file means it. A name server that has just been started,
//! or that has lost sight of what is behind it, means nothing by an answer that
//! lacks most of them, and mends it in a moment. So such an answer counts only
//! once it has lasted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sharding::Roster;
use thiserror::Error;

/// Most members are gone, and were there a moment ago.
#[derive(Debug, Error)]
#[error(
    "{gone} of {of} members are gone at once: they are kept until that has lasted for {}",
    humantime::format_duration(*.hold)
)]
pub struct LossError {
    /// How many are gone.
    pub gone: usize,
    /// How many there were.
    pub of: usize,
    /// How long it has to last.
    pub hold: Duration,
}

/// What was taken last, and what is not taken yet.
#[derive(Debug)]
pub(super) struct Loss {
    /// How long a loss has to last.
    hold: Duration,
    last: Option<Roster>,
    since: Option<Instant>,
}

impl Loss {
    pub(super) fn new(hold: Duration) -> Self {
        Self {
            hold,
            last: None,
            since: None,
        }
    }

    /// Takes an answer, unless it lacks most members and that is new. Those with
    /// an id in `leaving` are known to go, and none of them is lost.
    ///
    /// # Errors
    /// [`LossError`] while it is held back.
    pub(super) fn take(
        &mut self,
        roster: &Roster,
        leaving: &BTreeSet<String>,
        now: Instant,
    ) -> Result<(), LossError> {
        let before = self.last.as_ref().map_or(&[][..], Roster::members);
        let is_lost = |id: &String| roster.get(id).is_none() && !leaving.contains(id);
        let gone = before.iter().filter(|member| is_lost(&member.id)).count();
        if gone > 1 && gone * 2 > before.len() {
            let since = *self.since.get_or_insert(now);
            if now.saturating_duration_since(since) < self.hold {
                return Err(LossError {
                    gone,
                    of: before.len(),
                    hold: self.hold,
                });
            }
        }
        self.since = None;
        self.last = Some(roster.clone());
        Ok(())
    }

    /// When the same answer counts that was held back.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharding::Member;

    const HOLD: Duration = Duration::from_secs(10);

    fn roster(ids: &[u16]) -> Roster {
        let member = |&id: &u16| Member::new(format!("m{id}"), ([127, 0, 0, 1], id).into(), 1);
        Roster::new(ids.iter().map(member).collect()).unwrap()
    }

    #[test]
    fn a_loss_of_most_members_counts_once_it_has_lasted() {
        let (mut loss, start) = (Loss::new(HOLD), Instant::now());
        let mut take = |ids: &[u16], seconds| {
            let now = start + Duration::from_secs(seconds);
            loss.take(&roster(ids), &BTreeSet::new(), now)
        };
        take(&[1, 2, 3, 4, 5], 0).unwrap();
        let problem = take(&[1], 1).unwrap_err().to_string();
        assert_eq!(
            problem,
            "4 of 5 members are gone at once: they are kept until that has lasted for 10s"
        );
        take(&[2], 10).unwrap_err();
        take(&[1], 11).unwrap();
        take(&[1, 2, 3], 12).unwrap();
        take(&[4], 13).unwrap_err();
        take(&[1, 2, 3], 14).unwrap();
        take(&[4], 20).unwrap_err();
        take(&[4], 29).unwrap_err();
        take(&[4], 30).unwrap();
    }

    #[test]
    fn half_of_them_or_a_single_one_may_go() {
        let (mut loss, now) = (Loss::new(HOLD), Instant::now());
        for ids in [&[1, 2, 3, 4][..], &[3, 4], &[4], &[5], &[5, 6]] {
            loss.take(&roster(ids), &BTreeSet::new(), now).unwrap();
        }
        let mut off = Loss::new(Duration::ZERO);
        let nobody = BTreeSet::new();
        off.take(&roster(&[1, 2, 3]), &nobody, now).unwrap();
        off.take(&roster(&[4]), &nobody, now).unwrap();
    }

    #[test]
    fn those_who_are_known_to_leave_may_do_so_all_at_once() {
        let (mut loss, now) = (Loss::new(HOLD), Instant::now());
        let leaving = |ids: &[u16]| ids.iter().map(|id| format!("m{id}")).collect();
        loss.take(&roster(&[1, 2, 3, 4, 5]), &leaving(&[]), now)
            .unwrap();
        let few = roster(&[1]);
        loss.take(&few, &leaving(&[2]), now).unwrap_err();
        assert_eq!(loss.due(), Some(now + HOLD));
        // Two of five are not most of them.
        loss.take(&few, &leaving(&[2, 3]), now).unwrap();
        assert_eq!(loss.due(), None);
    }
}
