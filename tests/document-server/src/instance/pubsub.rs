//! Events to whoever watches a document or channel in this process. Events are
//! collected for a short time and then sent in one go; a watcher that is too slow
//! loses them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::api;

/// How long events are collected.
const WINDOW: Duration = Duration::from_millis(100);
/// How long one watcher may keep the others waiting.
const SEND_LIMIT: Duration = Duration::from_millis(100);

/// Project, and document id or channel key.
pub(crate) type Topic = (String, String);

/// The differences between documents and channels.
#[derive(Debug)]
struct Rules<E> {
    /// How many events wait for a watcher.
    buffer: usize,
    /// Whether a watcher is not told of an event.
    skip: fn(subscriber: &str, event: &E) -> bool,
    /// Whether an event joins those that are collected already.
    admit: fn(collected: &[E], event: &E) -> bool,
}

/// The events of a document's watchers.
#[must_use]
pub(crate) fn documents() -> Hub<api::DocEvent> {
    Hub::new(Rules {
        buffer: 1,
        skip: |subscriber, event| event.publisher == subscriber,
        admit: |collected, event| {
            let same = |other: &&api::DocEvent| {
                other.r#type == event.r#type && other.publisher == event.publisher
            };
            event.r#type() != api::DocEventType::DocumentChanged
                || collected.iter().filter(same).count() < 2
        },
    })
}

/// The events of a channel's watchers.
#[must_use]
pub(crate) fn channels() -> Hub<api::ChannelEvent> {
    Hub::new(Rules {
        buffer: 10,
        skip: |subscriber, event| {
            event.r#type() == api::channel_event::Type::Broadcast && event.publisher == subscriber
        },
        admit: |_, _| true,
    })
}

/// A watcher's place in a hub.
#[derive(Debug)]
pub(crate) struct Subscription<E> {
    /// To give back to [`Hub::unsubscribe`].
    pub(crate) id: u64,
    /// The events.
    pub(crate) events: mpsc::Receiver<E>,
}

/// All watchers of one kind.
#[derive(Debug)]
pub(crate) struct Hub<E> {
    rules: Rules<E>,
    state: Mutex<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    next: u64,
    topics: HashMap<Topic, Watched<E>>,
}

#[derive(Debug)]
struct Watched<E> {
    watchers: Vec<Watcher<E>>,
    collected: Vec<E>,
}

#[derive(Debug)]
struct Watcher<E> {
    id: u64,
    subscriber: String,
    events: mpsc::Sender<E>,
}

impl<E: Clone + Send + Sync + 'static> Hub<E> {
    fn new(rules: Rules<E>) -> Self {
        Self {
            rules,
            state: Mutex::new(State {
                next: 0,
                topics: HashMap::new(),
            }),
        }
    }

    /// Adds a watcher. Gives all subscribers of the topic, the new one included.
    pub(crate) fn subscribe(
        &self,
        topic: &Topic,
        subscriber: &str,
    ) -> (Subscription<E>, Vec<String>) {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let (sender, events) = mpsc::channel(self.rules.buffer);
        let watched = state
            .topics
            .entry(topic.clone())
            .or_insert_with(|| Watched {
                watchers: Vec::new(),
                collected: Vec::new(),
            });
        watched.watchers.push(Watcher {
            id,
            subscriber: subscriber.to_owned(),
            events: sender,
        });
        let all = watched
            .watchers
            .iter()
            .map(|watcher| watcher.subscriber.clone())
            .collect();
        (Subscription { id, events }, all)
    }

    /// Removes a watcher.
    pub(crate) fn unsubscribe(&self, topic: &Topic, id: u64) {
        let mut state = self.state();
        if let Some(watched) = state.topics.get_mut(topic) {
            watched.watchers.retain(|watcher| watcher.id != id);
            if watched.watchers.is_empty() {
                state.topics.remove(topic);
            }
        }
    }

    /// Tells the watchers of a topic, in this process, a little later.
    pub(crate) fn publish(self: &Arc<Self>, topic: &Topic, event: E) {
        let mut state = self.state();
        let Some(watched) = state.topics.get_mut(topic) else {
            return;
        };
        if !(self.rules.admit)(&watched.collected, &event) {
            return;
        }
        watched.collected.push(event);
        if watched.collected.len() == 1 {
            let (hub, topic) = (Arc::clone(self), topic.clone());
            tokio::spawn(async move {
                tokio::time::sleep(WINDOW).await;
                hub.flush(&topic).await;
            });
        }
    }

    async fn flush(&self, topic: &Topic) {
        let (events, watchers) = {
            let mut state = self.state();
            let Some(watched) = state.topics.get_mut(topic) else {
                return;
            };
            let watchers: Vec<_> = watched
                .watchers
                .iter()
                .map(|watcher| (watcher.subscriber.clone(), watcher.events.clone()))
                .collect();
            (std::mem::take(&mut watched.collected), watchers)
        };
        for (subscriber, sender) in watchers {
            for event in events
                .iter()
                .filter(|event| !(self.rules.skip)(&subscriber, event))
            {
                // Too slow or gone: the event is lost for this watcher.
                let _ = sender.send_timeout(event.clone(), SEND_LIMIT).await;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Topic {
        ("p".to_owned(), "d".to_owned())
    }

    fn changed(publisher: &str) -> api::DocEvent {
        api::DocEvent {
            publisher: publisher.to_owned(),
            ..api::DocEvent::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_hears_of_themselves_and_bursts_become_two() {
        let hub = Arc::new(documents());
        let (mut a, _) = hub.subscribe(&topic(), "a");
        let (mut b, all) = hub.subscribe(&topic(), "b");
        assert_eq!(all, ["a", "b"]);
        for _ in 0..5 {
            hub.publish(&topic(), changed("a"));
        }
        assert_eq!(b.events.recv().await.expect("told").publisher, "a");
        assert_eq!(b.events.recv().await.expect("told").publisher, "a");
        tokio::time::sleep(WINDOW * 3).await;
        assert!(b.events.try_recv().is_err());
        assert!(a.events.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_watcher_loses_events() {
        let hub = Arc::new(documents());
        let (mut slow, _) = hub.subscribe(&topic(), "slow");
        for publisher in ["a", "b", "c"] {
            hub.publish(&topic(), changed(publisher));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(slow.events.recv().await.expect("buffered").publisher, "a");
        assert!(slow.events.try_recv().is_err());
    }

    #[tokio::test]
    async fn an_unwatched_topic_is_forgotten() {
        let hub = Arc::new(documents());
        let (only, _) = hub.subscribe(&topic(), "a");
        hub.unsubscribe(&topic(), only.id);
        assert!(hub.state().topics.is_empty());
        hub.publish(&topic(), changed("b"));
    }
}
