//! Watch streams, in their present and their two older forms.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;

use super::request::Context;
use super::subscriptions::{Happened, Initial, Subscriptions};
use super::{Instance, ids};
use crate::api;
use crate::api::resource_descriptor::Resource;
use crate::log::{self, Moment};
use crate::protocol::error::{Code, RpcError};
use crate::protocol::reply::Messages;

/// How one form of the call writes what it has to say.
#[derive(Clone, Copy)]
struct Form {
    method: &'static str,
    initial: fn(&[Initial]) -> Vec<u8>,
    happened: fn(Happened) -> Vec<u8>,
}

impl Instance {
    pub(super) async fn watch(
        self: &Arc<Self>,
        context: &Context,
        request: api::WatchRequest,
    ) -> Result<Messages, RpcError> {
        let resources = request
            .resources
            .into_iter()
            .filter_map(|entry| entry.resource)
            .collect();
        let form = Form {
            method: "Watch",
            initial: any_initial,
            happened: any_happened,
        };
        self.watch_as(form, context, &request.client_id, resources)
            .await
    }

    pub(super) async fn watch_document(
        self: &Arc<Self>,
        context: &Context,
        request: api::WatchDocumentRequest,
    ) -> Result<Messages, RpcError> {
        let document = api::DocumentDescriptor {
            document_id: request.document_id,
        };
        let resources = vec![Resource::Document(document)];
        let form = Form {
            method: "WatchDocument",
            initial: document_initial,
            happened: document_happened,
        };
        self.watch_as(form, context, &request.client_id, resources)
            .await
    }

    pub(super) async fn watch_channel(
        self: &Arc<Self>,
        context: &Context,
        request: api::WatchChannelRequest,
    ) -> Result<Messages, RpcError> {
        let channel = api::ChannelDescriptor {
            channel_key: request.channel_key,
        };
        let resources = vec![Resource::Channel(channel)];
        let form = Form {
            method: "WatchChannel",
            initial: channel_initial,
            happened: channel_happened,
        };
        self.watch_as(form, context, &request.client_id, resources)
            .await
    }

    async fn watch_as(
        self: &Arc<Self>,
        form: Form,
        context: &Context,
        client_id: &str,
        resources: Vec<Resource>,
    ) -> Result<Messages, RpcError> {
        ids::check_client_id(client_id)?;
        context.client(client_id);
        self.database
            .active_client(&context.project, client_id, false)
            .await?;
        let mut subscriptions = Subscriptions::new(client_id);
        for resource in resources {
            let subscribed = match resource {
                Resource::Document(document) => {
                    let id = document.document_id;
                    self.subscribe_document(context, &mut subscriptions, &id)
                        .await
                }
                Resource::Channel(channel) => {
                    self.subscribe_channel(context, &mut subscriptions, &channel.channel_key)
                }
            };
            if let Err(error) = subscribed {
                self.unsubscribe(subscriptions);
                return Err(error);
            }
        }
        let (sender, messages) = mpsc::channel(1);
        tokio::spawn(Arc::clone(self).stream(form, context.clone(), subscriptions, sender));
        Ok(messages)
    }

    /// Sends what happens until the caller is gone or the instance stops.
    async fn stream(
        self: Arc<Self>,
        form: Form,
        context: Context,
        mut subscriptions: Subscriptions,
        sender: mpsc::Sender<Result<Bytes, RpcError>>,
    ) {
        let opened = Moment::now();
        let facts = self.stream_facts(form.method, &context, opened);
        let counted = subscriptions.has_document();
        let number = self.streams.open(facts.clone());
        if counted {
            self.streams.count_document_watch(true);
        }
        log_stream("stream_open", &facts, opened, None);

        let mut stopping = self.stopping.subscribe();
        let initial = (form.initial)(&subscriptions.initial).into();
        let mut sent = sender.send(Ok(initial)).await;
        let why = loop {
            if sent.is_err() {
                break "client_gone";
            }
            tokio::select! {
                biased;
                () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
                    let error = RpcError::new(Code::Canceled, "context canceled");
                    let _ = sender.send(Err(error)).await;
                    break "stopping";
                }
                () = expired(context.deadline) => {
                    let _ = sender.send(Err(RpcError::deadline_exceeded())).await;
                    break "deadline";
                }
                () = sender.closed() => break "client_gone",
                Some((_, happened)) = subscriptions.events.next() => {
                    sent = sender.send(Ok((form.happened)(happened).into())).await;
                }
            }
        };

        self.unsubscribe(subscriptions);
        if counted {
            self.streams.count_document_watch(false);
        }
        self.streams.close(number);
        log_stream("stream_close", &facts, Moment::now(), Some(why));
    }

    fn stream_facts(&self, method: &str, context: &Context, opened: Moment) -> Value {
        let mut facts = json!({
            "instance": self.id(),
            "method": method,
            "protocol": context.protocol,
            "project": context.project,
            "opened_at": opened,
        });
        if let (Value::Object(facts), Ok(Value::Object(notes))) =
            (&mut facts, serde_json::to_value(context.notes()))
        {
            facts.extend(context.shard_headers.clone());
            facts.extend(notes);
        }
        facts
    }
}

/// Waits for a deadline; for ever when there is none.
async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn log_stream(event: &str, facts: &Value, at: Moment, why: Option<&str>) {
    let mut entry = facts.clone();
    entry["event"] = json!(event);
    entry["at"] = json!(at);
    if let Some(why) = why {
        entry["why"] = json!(why);
        let code = if why == "deadline" {
            Code::DeadlineExceeded
        } else {
            Code::Canceled
        };
        entry["code"] = json!(code.name());
    }
    log::line(&entry);
}

fn any_initial(initial: &[Initial]) -> Vec<u8> {
    use api::resource_init::Init;
    let resource_inits = initial.iter().map(|initial| {
        let init = match initial {
            Initial::Document { id, client_ids } => Init::DocumentInit(api::DocumentInit {
                document_id: id.clone(),
                client_ids: client_ids.clone(),
            }),
            Initial::Channel { key, session_count } => Init::ChannelInit(api::ChannelInit {
                channel_key: key.clone(),
                session_count: *session_count,
                seq: 0,
            }),
        };
        api::ResourceInit { init: Some(init) }
    });
    let initialization = api::WatchInitialization {
        resource_inits: resource_inits.collect(),
    };
    let body = api::watch_response::Body::Initialization(initialization);
    api::WatchResponse { body: Some(body) }.encode_to_vec()
}

fn any_happened(happened: Happened) -> Vec<u8> {
    use api::watch_event::Event;
    let event = match happened {
        Happened::Document { id, event } => Event::DocEvent(api::DocWatchEvent {
            document_id: id,
            event: Some(event),
        }),
        Happened::Channel { key, event } => Event::ChannelEvent(api::ChannelWatchEvent {
            channel_key: key,
            event: Some(event),
        }),
    };
    let body = api::watch_response::Body::Event(api::WatchEvent { event: Some(event) });
    api::WatchResponse { body: Some(body) }.encode_to_vec()
}

fn document_initial(initial: &[Initial]) -> Vec<u8> {
    use api::watch_document_response::{Body, Initialization};
    let client_ids = match initial.first() {
        Some(Initial::Document { client_ids, .. }) => client_ids.clone(),
        _ => Vec::new(),
    };
    let body = Body::Initialization(Initialization { client_ids });
    api::WatchDocumentResponse { body: Some(body) }.encode_to_vec()
}

fn document_happened(happened: Happened) -> Vec<u8> {
    use api::watch_document_response::Body;
    let body = match happened {
        Happened::Document { event, .. } => Some(Body::Event(event)),
        Happened::Channel { .. } => None,
    };
    api::WatchDocumentResponse { body }.encode_to_vec()
}

fn channel_initial(initial: &[Initial]) -> Vec<u8> {
    use api::watch_channel_response::Body;
    let session_count = match initial.first() {
        Some(Initial::Channel { session_count, .. }) => *session_count,
        _ => 0,
    };
    let body = Body::Initialized(api::WatchChannelInitialized {
        session_count,
        seq: 0,
    });
    api::WatchChannelResponse { body: Some(body) }.encode_to_vec()
}

fn channel_happened(happened: Happened) -> Vec<u8> {
    use api::watch_channel_response::Body;
    let body = match happened {
        Happened::Channel { event, .. } => Some(Body::Event(event)),
        Happened::Document { .. } => None,
    };
    api::WatchChannelResponse { body }.encode_to_vec()
}
