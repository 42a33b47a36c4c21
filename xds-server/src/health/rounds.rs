//! Whose check is due when.
//!
//! Pure. Members are checked each for itself, at moments that their ids and a
//! number drawn at the start decide: thousands of them never fall into step.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// New members are first checked within this for each of them, and at most
/// within an interval.
const FIRST_SPREAD: Duration = Duration::from_micros(200);

/// See the module.
#[derive(Debug)]
pub(super) struct Rounds {
    interval: Duration,
    /// By id, the next check; absent while one is under way.
    members: BTreeMap<String, Slot>,
    due: BTreeSet<(Instant, String)>,
    random: RandomState,
}

#[derive(Debug, Default)]
struct Slot {
    due: Option<Instant>,
    round: u64,
}

impl Rounds {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            members: BTreeMap::new(),
            due: BTreeSet::new(),
            random: RandomState::new(),
        }
    }

    /// These are to be checked from now on, and no others.
    pub(super) fn follow<'a>(&mut self, ids: impl Iterator<Item = &'a str>, now: Instant) {
        let ids: BTreeSet<&str> = ids.collect();
        self.members.retain(|id, _| ids.contains(id.as_str()));
        self.due.retain(|(_, id)| ids.contains(id.as_str()));
        let new: Vec<&str> = ids
            .into_iter()
            .filter(|id| !self.members.contains_key(*id))
            .collect();
        let count = u32::try_from(new.len()).unwrap_or(u32::MAX);
        let spread = FIRST_SPREAD.saturating_mul(count).min(self.interval);
        for id in new {
            let wait = spread.mul_f64(self.share(id, 0));
            self.members.insert(id.to_owned(), Slot::default());
            self.schedule(id, now + wait);
        }
    }

    /// When the next check is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A member whose check is due, and how many were before it; from now on it
    /// is under way.
    pub(super) fn start(&mut self, now: Instant) -> Option<(String, u64)> {
        if self.next().is_none_or(|due| due > now) {
            return None;
        }
        let (_, id) = self.due.pop_first()?;
        let slot = self.members.get_mut(&id)?;
        slot.due = None;
        slot.round += 1;
        Some((id, slot.round - 1))
    }

    /// The check that was started then is over.
    pub(super) fn done(&mut self, id: &str, started: Instant, now: Instant) {
        let Some(slot) = self.members.get(id).filter(|slot| slot.due.is_none()) else {
            return;
        };
        let factor = 0.9 + 0.2 * self.share(id, slot.round);
        let next = started + self.interval.mul_f64(factor);
        self.schedule(id, next.max(now));
    }

    fn schedule(&mut self, id: &str, due: Instant) {
        if let Some(slot) = self.members.get_mut(id) {
            slot.due = Some(due);
            self.due.insert((due, id.to_owned()));
        }
    }

    /// A number from 0 to 1 for that round of that member.
    fn share(&self, id: &str, round: u64) -> f64 {
        let hash = self.random.hash_one((id, round)) >> 32;
        hash as f64 / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);

    #[test]
    fn every_member_is_checked_once_an_interval_give_or_take_a_tenth() {
        let ids: Vec<String> = (0..1000).map(|n| format!("m{n}")).collect();
        let start = Instant::now();
        let mut rounds = Rounds::new(INTERVAL);
        rounds.follow(ids.iter().map(String::as_str), start);
        let mut last: BTreeMap<String, Instant> = BTreeMap::new();
        let mut checks = 0;
        while let Some(now) = rounds.next().filter(|next| *next < start + INTERVAL * 20) {
            let (id, _) = rounds.start(now).unwrap();
            rounds.done(&id, now, now);
            checks += 1;
            if let Some(last) = last.insert(id, now) {
                let pause = now - last;
                assert!(pause >= INTERVAL.mul_f64(0.899) && pause <= INTERVAL.mul_f64(1.101));
            }
        }
        assert!((19_000..=21_500).contains(&checks), "{checks}");
        // In any tenth of an interval about a tenth of them.
        let soon = rounds
            .due
            .iter()
            .filter(|(due, _)| *due < start + INTERVAL.mul_f64(20.1));
        assert!((40..=180).contains(&soon.count()));
    }

    #[test]
    fn a_check_under_way_is_not_started_again_and_one_that_was_late_is_not_made_up_for() {
        let start = Instant::now();
        let mut rounds = Rounds::new(INTERVAL);
        rounds.follow(["a"].into_iter(), start);
        let later = start + Duration::from_secs(1);
        assert_eq!(rounds.start(later), Some(("a".to_owned(), 0)));
        assert_eq!(rounds.start(later + INTERVAL * 5), None);
        rounds.follow(["a"].into_iter(), later);
        assert_eq!(rounds.next(), None, "it is still under way");
        let end = later + INTERVAL * 5;
        rounds.done("a", later, end);
        assert_eq!(rounds.next(), Some(end));
    }

    #[test]
    fn who_is_gone_is_not_checked() {
        let start = Instant::now();
        let mut rounds = Rounds::new(INTERVAL);
        rounds.follow(["a", "b"].into_iter(), start);
        let later = start + INTERVAL;
        let (first, _) = rounds.start(later).unwrap();
        rounds.follow(std::iter::empty(), later);
        rounds.done(&first, later, later);
        assert_eq!(rounds.start(later + INTERVAL), None);
    }
}
