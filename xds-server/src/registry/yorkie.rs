//! Members that Yorkie's servers name in their database.
//!
//! Each server writes a row with its address, again and again, and takes it out
//! when it stops. The rows are read twice a second, each time together with the
//! clock of the database, which is the one that the heartbeats are written by:
//! no two machines' clocks are compared. (A change stream would tell of changes
//! sooner, but not that a row has grown old, and needs a replica set.)
//!
//! A member is called by its address as it stands in its row, whatever that
//! name leads to now. It has no incarnation: a server that was killed and comes
//! back in time finds its row, and one whose row was taken out for its age while
//! nobody could write makes another, though it is the same run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sharding::{MAX_MEMBERS, Member, Roster, RosterError};
use thiserror::Error;
use tokio::time::sleep;
use tracing::warn;

use super::pace::Pace;
use super::sources::Feed;
use crate::config::Yorkie;

mod heartbeats;
mod rows;
mod session;

pub use heartbeats::Unbelieved;
pub use session::SessionError as YorkieSessionError;

use heartbeats::Heartbeats;
use rows::{Refused, Rows};
use session::Session;

/// Between two readings.
const PACE: Pace = Pace {
    min: Duration::from_millis(500),
    max: Duration::from_secs(1),
};

/// Why what the database says does not count.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum YorkieError {
    /// The database does not answer.
    #[error(transparent)]
    Session(#[from] YorkieSessionError),
    /// More rows than there can be members.
    #[error("clusternodes: more than {MAX_MEMBERS} rows")]
    TooMany,
    /// Who is gone, by the rows, may not be.
    #[error("clusternodes: {0}")]
    Unbelieved(#[from] Unbelieved),
    /// No row is a member: more likely a fault than a wish.
    #[error("clusternodes: no members there, {refused} rows refused")]
    Empty {
        /// How many there are all the same.
        refused: usize,
    },
    /// Members that cannot form a roster.
    #[error("clusternodes: {0}")]
    Roster(#[from] RosterError),
}

/// Reads the rows for ever.
pub(super) async fn watch(settings: Yorkie, feed: Feed) {
    let mut readings = Readings::new(settings);
    let mut failures = 0;
    loop {
        match readings.next().await {
            Ok(roster) => {
                failures = 0;
                feed.good(roster);
            }
            Err(problem) => {
                failures += 1;
                feed.bad(&problem);
            }
        }
        sleep(PACE.after_failures(failures)).await;
    }
}

/// Reads the rows, again and again.
#[derive(Debug)]
pub(super) struct Readings {
    settings: Yorkie,
    /// Kept for as long as it answers.
    session: Option<Session>,
    heartbeats: Heartbeats,
    /// Where those are who were understood last.
    addresses: BTreeMap<String, SocketAddr>,
    /// The rows that are refused, and said to be.
    refused: Vec<Refused>,
}

impl Readings {
    pub(super) fn new(settings: Yorkie) -> Self {
        Self {
            heartbeats: Heartbeats::new(settings.heartbeat),
            settings,
            session: None,
            addresses: BTreeMap::new(),
            refused: Vec::new(),
        }
    }

    /// Who lives now, if that can be believed.
    pub(super) async fn next(&mut self) -> Result<Roster, YorkieError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.settings).await?,
        };
        let documents = session.read(MAX_MEMBERS + 1).await?;
        let now = Instant::now();
        self.session = Some(session);
        if documents.len() > MAX_MEMBERS {
            return Err(YorkieError::TooMany);
        }
        self.judge(Rows::read(&documents, self.settings.port), now)
    }

    fn judge(&mut self, rows: Rows, now: Instant) -> Result<Roster, YorkieError> {
        let Rows {
            servers,
            addresses,
            refused,
            is_whole,
        } = rows;
        for Refused { row, reason } in refused.iter().filter(|new| !self.refused.contains(new)) {
            warn!(%row, %reason, "Row of clusternodes refused");
        }
        self.refused = refused;
        self.addresses.extend(addresses);
        let living = self.heartbeats.read(&servers, is_whole, now)?;
        self.addresses.retain(|id, _| living.contains(id));
        if self.addresses.is_empty() {
            let refused = self.refused.len();
            return Err(YorkieError::Empty { refused });
        }
        let members = self.addresses.iter();
        let members = members.map(|(id, address)| Member::new(id, *address, 1));
        Ok(Roster::new(members.collect())?)
    }
}
