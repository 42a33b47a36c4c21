//! What the sources say, each for itself, and all together.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sharding::Roster;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::leases::Leases;
use super::merge::merge;

/// What every source has said last.
#[derive(Debug)]
pub struct Sources {
    said: watch::Sender<Vec<Said>>,
    leases: Option<Arc<Leases>>,
}

#[derive(Debug)]
struct Said {
    source: &'static str,
    /// The last good one.
    roster: Option<Roster>,
    /// When it was good last, or when the source was opened.
    good_at: Instant,
    /// Why it is not good now.
    problem: Option<String>,
}

/// Through which one source speaks.
#[derive(Debug)]
pub(super) struct Feed {
    sources: Arc<Sources>,
    index: usize,
}

/// Hears all sources.
pub(super) struct Listener(watch::Receiver<Vec<Said>>);

impl Default for Sources {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Sources {
    /// None yet, and the leases that one of them may be about.
    pub(super) fn new(leases: Option<Arc<Leases>>) -> Self {
        Self {
            said: watch::Sender::new(Vec::new()),
            leases,
        }
    }

    /// The leases, if there are any to have.
    #[must_use]
    pub fn leases(&self) -> Option<Arc<Leases>> {
        self.leases.clone()
    }

    /// Adds a source, after those before it in rank.
    pub(super) fn open(self: &Arc<Self>, source: &'static str) -> Feed {
        let mut index = 0;
        self.said.send_modify(|all| {
            index = all.len();
            all.push(Said {
                source,
                roster: None,
                good_at: Instant::now(),
                problem: None,
            });
        });
        Feed {
            sources: Arc::clone(self),
            index,
        }
    }

    pub(super) fn subscribe(&self) -> Listener {
        Listener(self.said.subscribe())
    }

    /// For each source, how long ago it last gave a good answer.
    pub(super) fn stale(&self) -> Vec<(&'static str, Duration)> {
        let all = self.said.borrow();
        let stale = all.iter().map(|said| (said.source, said.good_at.elapsed()));
        stale.collect()
    }
}

impl Feed {
    /// The source was asked and says this.
    pub(super) fn good(&self, roster: Roster) {
        self.update(|said| {
            said.good_at = Instant::now();
            let (source, members) = (said.source, roster.members().len());
            if said.problem.take().is_some() {
                info!(source, members, "Source of members is good again");
            }
            let is_new = said.roster.as_ref() != Some(&roster);
            if is_new {
                info!(source, members, "Source of members has a new roster");
                said.roster = Some(roster);
            }
            is_new
        });
    }

    /// The source was asked, and nothing can be made of it: the last good
    /// roster stays. The same problem again is not logged again.
    pub(super) fn bad(&self, problem: &impl Display) {
        let problem = problem.to_string();
        self.update(|said| {
            if said.problem.as_ref() != Some(&problem) {
                let kept = said.roster.as_ref().map(|roster| roster.members().len());
                error!(source = said.source, error = %problem, kept, "Source of members refused");
                said.problem = Some(problem);
            }
            false
        });
    }

    /// `change` says whether there is a new roster.
    fn update(&self, change: impl FnOnce(&mut Said) -> bool) {
        self.sources
            .said
            .send_if_modified(|all| all.get_mut(self.index).is_some_and(change));
    }
}

impl Listener {
    /// Hands on what the sources say together until nobody listens any more.
    pub(super) async fn merge_into(mut self, rosters: watch::Sender<Option<Roster>>) {
        let mut known = Vec::new();
        loop {
            self.merge(&rosters, &mut known);
            tokio::select! {
                changed = self.0.changed() => if changed.is_err() { return },
                () = rosters.closed() => return,
            }
        }
    }

    /// `known` are the conflicts that are logged already.
    fn merge(&mut self, rosters: &watch::Sender<Option<Roster>>, known: &mut Vec<String>) {
        let all = self.0.borrow_and_update();
        let said: Option<Vec<_>> = all
            .iter()
            .map(|said| Some((said.source, said.roster.as_ref()?)))
            .collect();
        let Some(said) = said else { return };
        match merge(said.into_iter()) {
            Ok(merged) => {
                let conflicts: Vec<_> = merged.conflicts.iter().map(ToString::to_string).collect();
                for conflict in conflicts.iter().filter(|new| !known.contains(new)) {
                    warn!(%conflict, "Member left out");
                }
                *known = conflicts;
                rosters.send_if_modified(|current| {
                    let is_new = current.as_ref() != Some(&merged.roster);
                    if is_new {
                        *current = Some(merged.roster);
                    }
                    is_new
                });
            }
            Err(error) => error!(%error, "Sources of members cannot be merged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharding::Member;

    fn roster(ids: &[u16]) -> Roster {
        let member = |&id: &u16| Member::new(format!("m{id}"), ([127, 0, 0, 1], id).into(), 1);
        Roster::new(ids.iter().map(member).collect()).unwrap()
    }

    fn start(sources: &Arc<Sources>) -> watch::Receiver<Option<Roster>> {
        let (sender, rosters) = watch::channel(None);
        tokio::spawn(sources.subscribe().merge_into(sender));
        rosters
    }

    async fn next(rosters: &mut watch::Receiver<Option<Roster>>) -> Roster {
        let changed = tokio::time::timeout(Duration::from_secs(20), rosters.changed()).await;
        changed.expect("a roster comes").unwrap();
        rosters.borrow_and_update().clone().unwrap()
    }

    #[tokio::test]
    async fn nothing_is_merged_until_every_source_has_said_something() {
        let sources = Arc::<Sources>::default();
        let (first, second) = (sources.open("a"), sources.open("b"));
        let mut rosters = start(&sources);
        first.good(roster(&[1]));
        second.bad(&"gone");
        tokio::task::yield_now().await;
        assert_eq!(*rosters.borrow(), None);
        second.good(roster(&[2]));
        assert_eq!(next(&mut rosters).await, roster(&[1, 2]));
    }

    #[tokio::test]
    async fn a_source_that_turns_bad_keeps_its_members_while_others_change() {
        let sources = Arc::<Sources>::default();
        let (first, second) = (sources.open("a"), sources.open("b"));
        let mut rosters = start(&sources);
        first.good(roster(&[1]));
        second.good(roster(&[2]));
        assert_eq!(next(&mut rosters).await, roster(&[1, 2]));
        first.bad(&"empty");
        second.good(roster(&[3]));
        assert_eq!(next(&mut rosters).await, roster(&[1, 3]));
    }

    #[tokio::test]
    async fn the_same_roster_again_is_no_news() {
        let sources = Arc::<Sources>::default();
        let feed = sources.open("a");
        let mut rosters = start(&sources);
        feed.good(roster(&[1]));
        assert_eq!(next(&mut rosters).await, roster(&[1]));
        feed.good(roster(&[1]));
        feed.good(roster(&[1, 2]));
        assert_eq!(next(&mut rosters).await, roster(&[1, 2]));
        assert!(!rosters.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_source_grows_stale_until_it_is_good_again() {
        let sources = Arc::<Sources>::default();
        let feed = sources.open("a");
        let stale = || sources.stale()[0].1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let before = stale();
        feed.bad(&"gone");
        assert!(stale() >= before && before >= Duration::from_millis(20));
        feed.good(roster(&[1]));
        assert!(stale() < before);
    }
}
