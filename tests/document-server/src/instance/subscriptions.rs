//! What one watch stream listens to.

use std::pin::Pin;

use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _, StreamMap};

use super::pubsub::Topic;
use super::push_pull::event;
use super::request::Context;
use super::{Instance, ids};
use crate::api;
use crate::protocol::error::RpcError;

/// Something that happened to a watched resource.
#[derive(Debug)]
pub(super) enum Happened {
    Document {
        id: String,
        event: api::DocEvent,
    },
    Channel {
        key: String,
        event: api::ChannelEvent,
    },
}

/// The state of a resource when its watch began.
#[derive(Debug)]
pub(super) enum Initial {
    Document { id: String, client_ids: Vec<String> },
    Channel { key: String, session_count: i64 },
}

#[derive(Debug)]
enum Held {
    Document(Topic, u64),
    Channel(Topic, u64),
}

type Events = Pin<Box<dyn Stream<Item = Happened> + Send>>;

/// The subscriptions of one stream. To be given back with
/// [`Instance::unsubscribe`].
pub(super) struct Subscriptions {
    client_id: String,
    held: Vec<Held>,
    pub(super) initial: Vec<Initial>,
    pub(super) events: StreamMap<usize, Events>,
}

impl Subscriptions {
    pub(super) fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            held: Vec::new(),
            initial: Vec::new(),
            events: StreamMap::new(),
        }
    }

    /// Whether a document is watched, as the metric counts it.
    pub(super) fn has_document(&self) -> bool {
        self.held
            .iter()
            .any(|held| matches!(held, Held::Document(..)))
    }
}

impl Instance {
    pub(super) async fn subscribe_document(
        &self,
        context: &Context,
        to: &mut Subscriptions,
        id: &str,
    ) -> Result<(), RpcError> {
        ids::check_id(id)?;
        context.document_id(id);
        let document = self.database.document(&context.project, id).await?;
        context.document_key(&document.key);
        let topic = (context.project.clone(), id.to_owned());
        let (subscription, client_ids) = self.documents.subscribe(&topic, &to.client_id);
        self.documents.publish(
            &topic,
            event(api::DocEventType::DocumentWatched, &to.client_id),
        );

        let id = id.to_owned();
        to.initial.push(Initial::Document {
            id: id.clone(),
            client_ids,
        });
        let events =
            ReceiverStream::new(subscription.events).map(move |event| Happened::Document {
                id: id.clone(),
                event,
            });
        to.events.insert(to.held.len(), Box::pin(events));
        to.held.push(Held::Document(topic, subscription.id));
        Ok(())
    }

    pub(super) fn subscribe_channel(
        &self,
        context: &Context,
        to: &mut Subscriptions,
        key: &str,
    ) -> Result<(), RpcError> {
        context.channel(key);
        ids::check_key(key)?;
        let topic = (context.project.clone(), key.to_owned());
        let (subscription, _) = self.channels.hub.subscribe(&topic, &to.client_id);

        let key = key.to_owned();
        let session_count = self.channels.count(&topic);
        to.initial.push(Initial::Channel {
            key: key.clone(),
            session_count,
        });
        let events = ReceiverStream::new(subscription.events).map(move |event| Happened::Channel {
            key: key.clone(),
            event,
        });
        to.events.insert(to.held.len(), Box::pin(events));
        to.held.push(Held::Channel(topic, subscription.id));
        Ok(())
    }

    pub(super) fn unsubscribe(&self, subscriptions: Subscriptions) {
        for held in subscriptions.held {
            match held {
                Held::Document(topic, id) => {
                    self.documents.unsubscribe(&topic, id);
                    let gone = api::DocEventType::DocumentUnwatched;
                    self.documents
                        .publish(&topic, event(gone, &subscriptions.client_id));
                }
                Held::Channel(topic, id) => self.channels.hub.unsubscribe(&topic, id),
            }
        }
    }
}
