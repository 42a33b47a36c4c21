//! Members whose keys are in etcd.
//!
//! Each connection reads everything under the prefix, as all servers of etcd
//! together have it, and then watches from the next revision on. So it does not
//! matter why the last one ended, what was missed since, or whether etcd has
//! forgotten it meanwhile.

use std::convert::Infallible;
use std::time::Duration;

use sharding::{MAX_MEMBERS, Roster, RosterError};
use thiserror::Error;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::pace::Pace;
use super::sources::Feed;
use crate::config::Etcd;

mod history;
mod protocol;
mod rows;
mod secrets;
mod session;

pub use session::SessionError;

use history::History;
use rows::{Found, Refused, Rows, missing, shown};
use session::Session;

/// Between attempts to reach any server.
const PACE: Pace = Pace {
    min: Duration::from_millis(250),
    max: Duration::from_secs(1),
};

/// A connection that lasted so long was well: the next is tried at once.
const STEADY: Duration = Duration::from_secs(2);

/// Why what etcd says does not count.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// The connection to a server.
    #[error("{endpoint}: {reason}")]
    Session {
        /// The server.
        endpoint: String,
        /// What happened.
        reason: SessionError,
    },
    /// No key is a member: more likely a fault than a wish.
    #[error("{prefix}: no members there, {refused} keys refused")]
    Empty {
        /// What the keys begin with.
        prefix: String,
        /// How many there are all the same.
        refused: usize,
    },
    /// More keys than there can be members.
    #[error("{prefix}: more than {MAX_MEMBERS} keys")]
    TooMany {
        /// What the keys begin with.
        prefix: String,
    },
    /// Members that cannot form a roster.
    #[error("{prefix}: {reason}")]
    Roster {
        /// What the keys begin with.
        prefix: String,
        /// The rule.
        reason: RosterError,
    },
    /// This etcd does not know what the last one knew: members have to come
    /// back to it first.
    #[error("etcd has lost its data, or is another: {} members have not registered there again, such as {}", .missing.len(), .missing.first().map_or("", |id| id))]
    Lost {
        /// Those who have not, by id.
        missing: Vec<String>,
    },
}

/// Follows etcd for ever.
pub(super) async fn watch(settings: Etcd, feed: Feed) {
    let mut view = View::new(&settings);
    let mut failures = 0;
    for endpoint in settings.endpoints.iter().cycle() {
        let start = Instant::now();
        let Err(problem) = view.follow(&settings, endpoint, &feed).await;
        feed.bad(&problem);
        failures = if start.elapsed() < STEADY {
            failures + 1
        } else {
            1
        };
        // Who is next may do better at once; whoever is asked again needs time.
        let rounds = failures / settings.endpoints.len() as u32;
        if rounds > 0 {
            sleep(PACE.after_failures(rounds)).await;
        }
    }
}

/// What is there now, by the first server that answers.
pub(super) async fn once(settings: &Etcd) -> Result<Roster, EtcdError> {
    let mut view = View::new(settings);
    let mut last = None;
    for endpoint in &settings.endpoints {
        match view.open(settings, endpoint).await {
            Ok(_) => return Ok(view.found()?.roster),
            Err(problem) => last = Some(problem),
        }
    }
    Err(last.unwrap_or_else(|| view.empty(0)))
}

/// What is known of etcd, over all connections.
struct View {
    rows: Rows,
    history: History,
    /// The rows that are refused, and said to be.
    refused: Vec<Refused>,
    /// The last good one.
    roster: Option<Roster>,
}

impl View {
    fn new(settings: &Etcd) -> Self {
        Self {
            rows: Rows::new(&settings.prefix),
            history: History::default(),
            refused: Vec::new(),
            roster: None,
        }
    }

    /// Hands on what one server says for as long as it does.
    async fn follow(
        &mut self,
        settings: &Etcd,
        endpoint: &str,
        feed: &Feed,
    ) -> Result<Infallible, EtcdError> {
        let (session, revision) = self.open(settings, endpoint).await?;
        let at = |reason| at(endpoint, reason);
        let watch = session.watch(self.rows.prefix(), revision + 1).await;
        let mut watch = watch.map_err(at)?;
        loop {
            match self.judge() {
                Ok(roster) => feed.good(roster),
                Err(problem) => feed.bad(&problem),
            }
            let (header, events) = watch.next().await.map_err(at)?;
            self.history.goes_on(header);
            self.rows.apply(events);
        }
    }

    /// Reads everything; the revision is that of what was read.
    async fn open(&mut self, settings: &Etcd, endpoint: &str) -> Result<(Session, i64), EtcdError> {
        let at = |reason| at(endpoint, reason);
        let mut session = Session::open(settings, endpoint).await.map_err(at)?;
        let read = session.range(self.rows.prefix(), MAX_MEMBERS).await;
        let read = read.map_err(at)?;
        if read.more {
            let prefix = shown(self.rows.prefix());
            return Err(EtcdError::TooMany { prefix });
        }
        let header = read.header.unwrap_or_default();
        self.history.is_read(header, Instant::now());
        self.rows.replace(read.kvs);
        Ok((session, header.revision))
    }

    /// The roster, if it can be believed.
    fn judge(&mut self) -> Result<Roster, EtcdError> {
        let Found { roster, refused } = self.found()?;
        for Refused { key, reason } in refused.iter().filter(|new| !self.refused.contains(new)) {
            warn!(%key, %reason, "Key in etcd refused");
        }
        self.refused = refused;
        if roster.members().is_empty() {
            return Err(self.empty(self.refused.len()));
        }
        if let Some(last) = &self.roster
            && self.history.is_doubtful(Instant::now())
        {
            let missing: Vec<_> = missing(&roster, last)
                .into_iter()
                .map(str::to_owned)
                .collect();
            if !missing.is_empty() {
                return Err(EtcdError::Lost { missing });
            }
            self.history.trust();
        }
        self.roster = Some(roster.clone());
        Ok(roster)
    }

    fn found(&self) -> Result<Found, EtcdError> {
        self.rows.found().map_err(|reason| EtcdError::Roster {
            prefix: shown(self.rows.prefix()),
            reason,
        })
    }

    fn empty(&self, refused: usize) -> EtcdError {
        EtcdError::Empty {
            prefix: shown(self.rows.prefix()),
            refused,
        }
    }
}

fn at(endpoint: &str, reason: SessionError) -> EtcdError {
    EtcdError::Session {
        endpoint: endpoint.to_owned(),
        reason,
    }
}
