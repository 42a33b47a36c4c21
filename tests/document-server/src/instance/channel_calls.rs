//! Channels: who is there, and messages to all of them.

use serde_json::json;

use super::pubsub::Topic;
use super::request::Context;
use super::{Instance, errors, ids};
use crate::api;
use crate::protocol::error::RpcError;

impl Instance {
    pub(super) async fn attach_channel(
        &self,
        context: &Context,
        request: api::AttachChannelRequest,
    ) -> Result<api::AttachChannelResponse, RpcError> {
        let channel = self
            .channel_of(context, &request.client_id, &request.channel_key)
            .await?;
        ids::check_channel_path(&request.channel_key)?;
        let (session_id, session_count) = self.channels.attach(&channel, &request.client_id);
        Ok(api::AttachChannelResponse {
            session_id,
            session_count,
        })
    }

    pub(super) async fn detach_channel(
        &self,
        context: &Context,
        request: api::DetachChannelRequest,
    ) -> Result<api::DetachChannelResponse, RpcError> {
        ids::check_id(&request.session_id)?;
        self.channel_of(context, &request.client_id, &request.channel_key)
            .await?;
        let session_count = self.channels.detach(&request.session_id)?;
        Ok(api::DetachChannelResponse { session_count })
    }

    pub(super) async fn refresh_channel(
        &self,
        context: &Context,
        request: api::RefreshChannelRequest,
    ) -> Result<api::RefreshChannelResponse, RpcError> {
        let channel = topic(context, &request.channel_key)?;
        if !request.session_id.is_empty() {
            ids::check_client_id(&request.client_id)?;
            ids::check_id(&request.session_id)?;
            context.client(&request.client_id);
            self.channels.refresh(&request.session_id)?;
            let session_count = self.channels.count(&channel);
            return Ok(api::RefreshChannelResponse {
                session_count,
                ..Default::default()
            });
        }
        if request.client_key.is_empty() {
            return Err(errors::INVALID_CLIENT_KEY.into());
        }
        ids::check_channel_path(&request.channel_key)?;
        let metadata = json!(request.metadata);
        let client = self
            .database
            .activate_client(&context.project, &request.client_key, metadata)
            .await?;
        context.client(&client.id);
        let (session_id, session_count) = self.channels.attach(&channel, &client.id);
        Ok(api::RefreshChannelResponse {
            session_count,
            client_id: client.id,
            session_id,
        })
    }

    pub(super) fn peek_channel(
        &self,
        context: &Context,
        request: &api::PeekChannelRequest,
    ) -> Result<api::PeekChannelResponse, RpcError> {
        let channel = topic(context, &request.channel_key)?;
        Ok(api::PeekChannelResponse {
            session_count: self.channels.count(&channel),
        })
    }

    pub(super) async fn broadcast(
        &self,
        context: &Context,
        request: api::BroadcastRequest,
    ) -> Result<api::Nothing, RpcError> {
        self.channel_of(context, &request.client_id, &request.channel_key)
            .await?;
        let event = api::ChannelEvent {
            publisher: request.client_id,
            topic: request.topic,
            payload: request.payload,
            ..api::ChannelEvent::default()
        };
        self.broadcast_to(context, &context.project, &request.channel_key, event)
    }

    /// Sends a message to those who watch a channel here.
    pub(super) fn broadcast_to(
        &self,
        context: &Context,
        project: &str,
        channel_key: &str,
        mut event: api::ChannelEvent,
    ) -> Result<api::Nothing, RpcError> {
        context.channel(channel_key);
        ids::check_key(channel_key)?;
        event.set_type(api::channel_event::Type::Broadcast);
        self.channels
            .hub
            .publish(&(project.to_owned(), channel_key.to_owned()), event);
        Ok(api::Nothing {})
    }

    pub(super) fn channel_summaries(
        &self,
        project: &str,
        keys: Vec<String>,
    ) -> api::ChannelsResponse {
        let summary = |key: String| {
            let count = self.channels.count(&(project.to_owned(), key.clone()));
            api::ChannelSummary {
                key,
                session_count: i32::try_from(count).unwrap_or(i32::MAX),
            }
        };
        api::ChannelsResponse {
            channels: keys.into_iter().map(summary).collect(),
        }
    }

    /// The channel, when the client may use it.
    async fn channel_of(
        &self,
        context: &Context,
        client_id: &str,
        channel_key: &str,
    ) -> Result<Topic, RpcError> {
        ids::check_client_id(client_id)?;
        context.client(client_id);
        let channel = topic(context, channel_key)?;
        self.database
            .active_client(&context.project, client_id, false)
            .await?;
        Ok(channel)
    }
}

fn topic(context: &Context, channel_key: &str) -> Result<Topic, RpcError> {
    context.channel(channel_key);
    ids::check_key(channel_key)?;
    Ok((context.project.clone(), channel_key.to_owned()))
}
