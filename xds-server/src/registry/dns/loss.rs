//! A sudden loss of most members.
//!
//! Who edits a members file means it. A name server that has just been started,
//! or that has lost sight of what is behind it, means nothing by an answer that
//! lacks most of them, and mends it in a moment. So such an answer counts only
//! once it has lasted.

use std::time::{Duration, Instant};

use sharding::Roster;

use super::DnsError;

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

    /// Takes an answer, unless it lacks most members and that is new.
    ///
    /// # Errors
    /// [`DnsError::Loss`] while it is held back.
    pub(super) fn take(
        &mut self,
        name: &str,
        roster: &Roster,
        now: Instant,
    ) -> Result<(), DnsError> {
        let before = self.last.as_ref().map_or(&[][..], Roster::members);
        let gone = before
            .iter()
            .filter(|member| roster.get(&member.id).is_none())
            .count();
        if gone > 1 && gone * 2 > before.len() {
            let since = *self.since.get_or_insert(now);
            if now.saturating_duration_since(since) < self.hold {
                return Err(DnsError::Loss {
                    name: name.to_owned(),
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
            loss.take(
                "yorkie.",
                &roster(ids),
                start + Duration::from_secs(seconds),
            )
        };
        take(&[1, 2, 3, 4, 5], 0).unwrap();
        let problem = take(&[1], 1).unwrap_err().to_string();
        assert_eq!(
            problem,
            "yorkie.: 4 of 5 members are gone at once: they are kept until that has lasted for 10s"
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
            loss.take("yorkie.", &roster(ids), now).unwrap();
        }
        let mut off = Loss::new(Duration::ZERO);
        off.take("yorkie.", &roster(&[1, 2, 3]), now).unwrap();
        off.take("yorkie.", &roster(&[4]), now).unwrap();
    }
}
