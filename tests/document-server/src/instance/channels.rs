//! Channel sessions, in this process only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::errors;
use super::pubsub::{self, Hub, Topic};
use crate::api;
use crate::protocol::error::RpcError;
use crate::store::collection::new_id;

/// How often expired sessions are looked for.
pub(crate) const CLEANUP_INTERVAL: Duration = Duration::from_secs(10);

/// The channels of one instance.
#[derive(Debug)]
pub(crate) struct Channels {
    /// Who watches them.
    pub(crate) hub: Arc<Hub<api::ChannelEvent>>,
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<String, Session>,
    counts: HashMap<Topic, i64>,
    seq: i64,
}

#[derive(Debug)]
struct Session {
    channel: Topic,
    client: String,
    refreshed: Instant,
}

impl Channels {
    /// No channels yet; sessions live for `ttl` without a refresh.
    #[must_use]
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            hub: Arc::new(pubsub::channels()),
            ttl,
            state: Mutex::default(),
        }
    }

    /// Gives a client a session, or the one it has; and the number of sessions.
    pub(crate) fn attach(&self, channel: &Topic, client: &str) -> (String, i64) {
        let mut state = self.state();
        let held = state
            .sessions
            .iter()
            .find(|(_, session)| session.client == client && session.channel == *channel);
        if let Some((id, _)) = held {
            return (id.clone(), state.count(channel));
        }
        let id = new_id();
        let session = Session {
            channel: channel.clone(),
            client: client.to_owned(),
            refreshed: Instant::now(),
        };
        state.sessions.insert(id.clone(), session);
        *state.counts.entry(channel.clone()).or_default() += 1;
        self.announce(&mut state, channel);
        (id, state.count(channel))
    }

    /// Ends a session; gives the number of those left.
    ///
    /// # Errors
    /// `not_found` when this instance has no such session.
    pub(crate) fn detach(&self, session: &str) -> Result<i64, RpcError> {
        let mut state = self.state();
        let ended = state.sessions.remove(session);
        let channel = ended
            .ok_or_else(|| errors::SESSION_NOT_FOUND.at(session))?
            .channel;
        let left = state.count(&channel) - 1;
        if left > 0 {
            state.counts.insert(channel.clone(), left);
        } else {
            state.counts.remove(&channel);
        }
        self.announce(&mut state, &channel);
        Ok(left)
    }

    /// Keeps a session alive.
    ///
    /// # Errors
    /// `not_found` when this instance has no such session.
    pub(crate) fn refresh(&self, session: &str) -> Result<(), RpcError> {
        let mut state = self.state();
        let found = state.sessions.get_mut(session);
        found
            .ok_or_else(|| errors::SESSION_NOT_FOUND.at(session))?
            .refreshed = Instant::now();
        Ok(())
    }

    /// The number of sessions of a channel.
    #[must_use]
    pub(crate) fn count(&self, channel: &Topic) -> i64 {
        self.state().count(channel)
    }

    /// The number of channels of a project.
    #[must_use]
    pub(crate) fn channel_count(&self, project: &str) -> usize {
        self.state()
            .counts
            .keys()
            .filter(|(of, _)| of == project)
            .count()
    }

    /// Ends the sessions that were not refreshed in time.
    pub(crate) fn drop_expired(&self) {
        let now = Instant::now();
        let expired: Vec<String> = self
            .state()
            .sessions
            .iter()
            .filter(|(_, session)| now.duration_since(session.refreshed) > self.ttl)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            // Detached by its client meanwhile: that is as good.
            let _ = self.detach(&id);
        }
    }

    fn announce(&self, state: &mut State, channel: &Topic) {
        state.seq += 1;
        let mut event = api::ChannelEvent {
            session_count: state.count(channel),
            seq: state.seq,
            ..api::ChannelEvent::default()
        };
        event.set_type(api::channel_event::Type::Presence);
        self.hub.publish(channel, event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self, channel: &Topic) -> i64 {
        self.counts.get(channel).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_counted_once_per_client() {
        let channels = Channels::new(Duration::from_secs(15));
        let room = ("p".to_owned(), "room".to_owned());
        let (first, count) = channels.attach(&room, "a");
        assert_eq!(count, 1);
        assert_eq!(channels.attach(&room, "a"), (first.clone(), 1));
        assert_eq!(channels.attach(&room, "b").1, 2);
        assert_eq!(channels.detach(&first).expect("held"), 1);
        assert!(channels.detach(&first).is_err());
        assert!(channels.refresh(&first).is_err());
        assert_eq!(channels.count(&room), 1);
    }

    #[test]
    fn sessions_expire() {
        let channels = Channels::new(Duration::ZERO);
        let room = ("p".to_owned(), "room".to_owned());
        channels.attach(&room, "a");
        std::thread::sleep(Duration::from_millis(1));
        channels.drop_expired();
        assert_eq!(channels.count(&room), 0);
        assert_eq!(channels.channel_count("p"), 0);
    }
}
