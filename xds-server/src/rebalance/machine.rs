//! The rebalance as a state machine: what to publish when.
//!
//! Pure: it is told events, the time and what is known of the proxies, and
//! says what to do. All that it knows over a restart is the last
//! [`FilterConfig`] that was handed out.
//!
//! ```text
//! stable ──change──▶ settling ──quiet──▶ holding ──all route──▶ draining ──0 misplaced──▶ stable
//! ```
//!
//! - *Settling*: changes are awaited that belong together. One that brings back
//!   the present roster ends it.
//! - *Holding*: the new assignment is published, with `drain: hold`. Streams
//!   stay until every connected proxy has accepted it, and every VM of them
//!   reports its epoch: whichever proxy a client comes back through then
//!   routes to the new owner.
//! - *Draining*: the same with `drain: release`, until every VM says that no
//!   stream is misplaced.
//!
//! Both waits are bounded; who did not keep up is named in the [`Record`].
//! Changes that come meanwhile wait, but for an urgent one, which takes over
//! at once. Filters compare streams with the assignment in force, whatever
//! came before, so nothing is lost when one is taken over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sharding::{Drain, FilterConfig, Roster};

use super::change::{Cause, Change};
use super::record::{Outcome, Record};
use super::same_but_drain;
use super::view::{Behind, View};

mod contract;
mod first;
mod pending;
mod publishing;
mod reconfiguring;
mod settings;
mod underway;

pub use contract::{Effect, Event, Past, Stage};
use pending::Pending;
pub use settings::{Now, Pace, Settings};
use underway::Underway;

/// See the module.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    /// What filters are told that depends on no member.
    template: FilterConfig,
    current: Option<FilterConfig>,
    pending: Option<Pending>,
    underway: Option<Underway>,
    past: VecDeque<Past>,
    /// Until when proxies may be on their way back.
    alone_until: Option<Instant>,
    has_roster: bool,
    /// Whether nothing says that there was an earlier process; its proxies may
    /// yet, until the first release.
    may_be_first: bool,
}

impl Machine {
    /// A machine after a start. `last` is what was handed out before it; if
    /// that holds its drain, the rebalance is resumed. `is_return` says that
    /// proxies may still have connections to an earlier process; without it that
    /// is found out when the first of them come.
    #[must_use]
    pub fn new(
        settings: Settings,
        template: FilterConfig,
        last: Option<FilterConfig>,
        is_return: bool,
        now: Now,
    ) -> Self {
        let mut this = Self {
            alone_until: is_return.then(|| now.instant + settings.return_wait),
            template,
            current: last,
            pending: None,
            underway: None,
            past: VecDeque::new(),
            has_roster: false,
            may_be_first: !is_return,
            settings,
        };
        let resumed = this.current.as_ref().filter(|last| {
            last.drain == Drain::Hold && last.members.is_some() && this.settings.pace.is_some()
        });
        if let Some(epoch) = resumed.map(|last| last.epoch) {
            let changes = vec![Change::of(Cause::Resumed)];
            this.hold(epoch, changes, Duration::ZERO, now);
        }
        this
    }

    /// Takes in an event and says what has to be done.
    pub fn step(&mut self, event: Event, view: &View, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut at_once = false;
        match event {
            Event::Roster { roster, urgent } => {
                at_once = urgent || !self.has_roster;
                self.has_roster = true;
                self.notice(roster, now);
                if let Some(pending) = self.pending.as_mut().filter(|_| urgent) {
                    pending.is_urgent = true;
                }
            }
            Event::Planned { epoch, plan } => {
                let underway = self.underway.as_mut();
                if let Some(underway) = underway.filter(|u| u.record.epoch == epoch) {
                    underway.record.plan = Some(plan);
                }
            }
            Event::Settings { settings, template } => {
                at_once = self.reconfigure(settings, *template, now);
            }
            Event::Look => {}
        }
        self.meet(view, now);
        // What is published here is not what `view` is of: nothing follows from it.
        if self.catch_up(view, now, &mut effects) {
            return effects;
        }
        if at_once && self.pending.is_some() {
            self.end(Outcome::Superseded, view, now, &mut effects);
            self.publish_pending(now, &mut effects);
            return effects;
        }
        self.look(view, now, &mut effects);
        effects
    }

    /// When to look again, if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let Some(underway) = &self.underway else {
            return self.pending.as_ref().map(|p| p.due(&self.settings));
        };
        if let Some(pending) = self.takes_back() {
            return Some(pending.due(&self.settings));
        }
        if self.awaits_first() {
            return None;
        }
        let alone_until = self.alone_until.filter(|_| !underway.draining);
        Some(alone_until.map_or(underway.deadline, |until| until.min(underway.deadline)))
    }

    /// What it is set to.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was handed out last.
    #[must_use]
    pub fn current(&self) -> Option<&FilterConfig> {
        self.current.as_ref()
    }

    /// Assignments before the present one, oldest first.
    pub fn past(&self) -> impl Iterator<Item = &Past> {
        self.past.iter()
    }

    /// What it is doing.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match (&self.underway, &self.pending) {
            (Some(underway), _) if underway.draining => Stage::Draining,
            (Some(_), _) => Stage::Holding,
            (None, Some(_)) => Stage::Settling,
            (None, None) => Stage::Stable,
        }
    }

    /// The rebalance under way, with what `view` adds to it.
    #[must_use]
    pub fn underway(&self, view: &View, now: Instant) -> Option<Record> {
        let underway = self.underway.as_ref()?;
        let mut record = underway.record(view, now);
        if underway.draining {
            record.missing = underway.behind(view);
        } else {
            record.left_behind = underway.behind(view);
        }
        Some(record)
    }

    /// Whether a change waits for the one under way.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    fn notice(&mut self, roster: Roster, now: Now) {
        if !self.differs(&roster) {
            self.pending = None;
            return;
        }
        match &mut self.pending {
            Some(pending) => pending.merge(roster, now.instant),
            None => self.pending = Some(Pending::new(roster, now.instant)),
        }
    }

    /// Whether `roster` asks for anything that is not published.
    fn differs(&self, roster: &Roster) -> bool {
        let Some(current) = &self.current else {
            return true;
        };
        let has_released = current.drain != Drain::Hold;
        let must_take_back = has_released && self.settings.pace.is_none();
        must_take_back || !same_but_drain(current, &self.template, roster)
    }

    fn look(&mut self, view: &View, now: Now, effects: &mut Vec<Effect>) {
        let due = |pending: &Pending| pending.due(&self.settings) <= now.instant;
        match self.takes_back().map(due) {
            Some(true) => self.end(Outcome::Superseded, view, now, effects),
            Some(false) => {}
            None => self.look_after_underway(view, now, effects),
        }
        let is_due = |pending: &Pending| pending.due(&self.settings) <= now.instant;
        if self.underway.is_none() && self.pending.as_ref().is_some_and(is_due) {
            self.publish_pending(now, effects);
        }
    }

    /// A change that takes back the one under way, of which nobody has felt
    /// anything yet: it does not wait for streams to be ended in vain. While
    /// nobody has come, that is any change.
    fn takes_back(&self) -> Option<&Pending> {
        let pending = self.pending.as_ref()?;
        let underway = self.underway.as_ref()?;
        let goes_back = self.past.back().is_some_and(|before| {
            pending.roster == before.members && self.template.policy == before.policy
        });
        let is_unfelt = !underway.draining && goes_back || self.awaits_first();
        is_unfelt.then_some(pending)
    }

    fn look_after_underway(&mut self, view: &View, now: Now, effects: &mut Vec<Effect>) {
        if self.alone_until.is_some_and(|until| until <= now.instant) {
            self.alone_until = None;
        }
        if self.awaits_first() {
            return;
        }
        let Some(underway) = &mut self.underway else {
            return;
        };
        let behind = underway.behind(view);
        let is_late = underway.deadline <= now.instant;
        // Who has left routes nothing any more, or cannot be told.
        let all_there = behind.iter().all(Behind::is_gone);
        if underway.draining {
            if all_there || is_late {
                underway.record.missing = behind;
                let outcome = if all_there {
                    Outcome::Done
                } else {
                    Outcome::Incomplete
                };
                self.end(outcome, view, now, effects);
            }
        } else if is_late || (all_there && self.alone_until.is_none()) {
            underway.record.left_behind = behind;
            match self.settings.pace {
                Some(pace) => self.release(pace, all_there, view, now, effects),
                None => self.end(Outcome::Held, view, now, effects),
            }
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
