//! Who lives, by heartbeats.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::registry::doubt::{Doubt, Heard};

/// A server's row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// What tells it from others.
    pub(super) id: String,
    /// How long ago its last heartbeat was; none if that cannot be told.
    pub(super) age: Option<Duration>,
}

/// Why what the rows say of who is gone is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unbelieved {
    /// There is no row of anybody who lives, and there was none before.
    #[error("there are no rows")]
    Empty,
    /// Nobody has a heartbeat: more likely none can be written.
    #[error("none of {0} servers has a heartbeat: all are kept")]
    Silent(usize),
    /// Most are late at once, and some are gone.
    #[error(
        "{gone} of {all} servers are gone, and most are late at once, or nothing is known of before: they are kept until that has lasted for {}",
        humantime::format_duration(*.hold)
    )]
    Most {
        /// How many would be taken out.
        gone: usize,
        /// Of how many.
        all: usize,
        /// How long it has to last.
        hold: Duration,
    },
}

/// The servers that are thought to live, from one reading of the rows to the
/// next.
///
/// A server takes its row out when it stops, so whose row is gone has left. An
/// old row is of a server that was killed, or of one that cannot write; and
/// `MongoDB` takes out rows that are old, so that after a time in which nobody
/// could write both look the same.
#[derive(Debug)]
pub(super) struct Heartbeats {
    /// How often they come.
    every: Duration,
    /// When each was heard of last, on the clock of this machine.
    heard: BTreeMap<String, Instant>,
    doubt: Doubt,
}

impl Heartbeats {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            heard: BTreeMap::new(),
            doubt: Doubt::default(),
        }
    }

    /// Takes a reading, and tells the ids of those who live. `is_whole` is
    /// whether every row is among `rows`: none was left out because it makes no
    /// sense.
    ///
    /// # Errors
    /// Who lived before is to stay.
    pub(super) fn read(
        &mut self,
        rows: &[Row],
        is_whole: bool,
        now: Instant,
    ) -> Result<Vec<String>, Unbelieved> {
        let is_start = self.heard.is_empty();
        self.hear(rows, now);
        let hold = self.lifetime();
        let there: HashSet<&str> = rows.iter().map(|row| &*row.id).collect();
        let age = |at: &Instant| now.saturating_duration_since(*at);
        let is_gone = |id: &str, at: &Instant| {
            let has_left = is_whole && !there.contains(id);
            has_left || age(at) > hold
        };
        // Not a moment more: when all fell silent together, the last of them was
        // heard of that long after the first, who is the one that is gone now.
        let is_late = |id: &str, at: &Instant| is_gone(id, at) || age(at) > self.every;
        let count = |of: &dyn Fn(&str, &Instant) -> bool| {
            let such = self.heard.iter().filter(|(id, at)| of(id, at));
            such.count()
        };
        let all = self.heard.len();
        let (gone, late) = (count(&is_gone), count(&is_late));
        let heard = Heard {
            all,
            // Who has not written yet since the database is back, and who never
            // will again, look the same when nothing is known of before.
            late: if is_start { all } else { late },
            silent: gone,
        };
        if all == 0 {
            return Err(Unbelieved::Empty);
        }
        if self.doubt.keeps(heard, hold, now) {
            return Err(if gone == all {
                Unbelieved::Silent(all)
            } else {
                Unbelieved::Most { gone, all, hold }
            });
        }
        self.heard.retain(|id, at| !is_gone(id, at));
        Ok(self.heard.keys().cloned().collect())
    }

    /// How long a server lives without another heartbeat, as Yorkie has it.
    fn lifetime(&self) -> Duration {
        2 * self.every
    }

    /// A row that was old when it was first seen is of nobody; but not at the
    /// start, when nothing is known of who was there before.
    fn hear(&mut self, rows: &[Row], now: Instant) {
        let is_start = self.heard.is_empty();
        for Row { id, age } in rows {
            let Some(age) = *age else { continue };
            let counts = is_start || age <= self.lifetime() || self.heard.contains_key(id);
            // An age that no clock goes back to is nonsense.
            let at = now.checked_sub(age).filter(|_| counts);
            if let Some(at) = at {
                self.heard.insert(id.clone(), at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
