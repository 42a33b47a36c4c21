//! What instances ask of each other.

use super::push_pull::Options;
use super::request::Context;
use super::rows::Attachment;
use super::{Instance, ids};
use crate::api;
use crate::protocol::error::RpcError;

impl Instance {
    pub(super) async fn cluster_detach_document(
        &self,
        context: &Context,
        request: api::ClusterDetachDocumentRequest,
    ) -> Result<api::Nothing, RpcError> {
        context.client(&request.client_id);
        context.document_id(&request.document_id);
        context.document_key(&request.document_key);
        self.detach_by_cluster(request).await?;
        Ok(api::Nothing {})
    }

    /// Detaches a client that is being deactivated: clears its presence.
    pub(super) async fn detach_by_cluster(
        &self,
        request: api::ClusterDetachDocumentRequest,
    ) -> Result<(), RpcError> {
        ids::check_client_id(&request.client_id)?;
        let project = self.project_of_message(request.project.as_ref());
        let _pulling = self
            .pulling(&request.client_id, &request.document_key)
            .await;
        let client = self
            .database
            .active_client(&project, &request.client_id, true)
            .await?;
        let document = self
            .database
            .document(&project, &request.document_id)
            .await?;
        let reached = client.checkpoint(&request.document_id);

        let mut clear = api::PresenceChange::default();
        clear.set_type(api::presence_change::ChangeType::Clear);
        let change = api::Change {
            id: Some(api::ChangeId {
                client_seq: reached.client_seq + 1,
                actor_id: ids::actor_bytes(&client.id).unwrap_or_default().into(),
                // Presence moves no clock: an empty vector says so.
                version_vector: Some(api::VersionVector::default()),
                ..api::ChangeId::default()
            }),
            presence_change: Some(clear),
            ..api::Change::default()
        };
        let pack = api::ChangePack {
            document_key: request.document_key,
            checkpoint: Some(api::Checkpoint {
                server_seq: reached.server_seq,
                client_seq: reached.client_seq,
            }),
            changes: vec![change],
            ..api::ChangePack::default()
        };
        let options = Options {
            push_only: true,
            status: Attachment::Detached,
            disable_gc: false,
            disable_presence: document.disable_presence,
        };
        self.push_pull(client, &request.document_id, pack, options)
            .await
            .map(drop)
    }

    pub(super) async fn cluster_get_document(
        &self,
        context: &Context,
        request: api::ClusterGetDocumentRequest,
    ) -> Result<api::ClusterGetDocumentResponse, RpcError> {
        context.document_key(&request.document_key);
        let project = self.project_of_message(request.project.as_ref());
        let document = self
            .database
            .document_by_key(&project, &request.document_key)
            .await?;
        let summary = api::DocumentSummary {
            id: document.id,
            key: document.key,
        };
        Ok(api::ClusterGetDocumentResponse {
            document: Some(summary),
        })
    }

    pub(super) fn cluster_get_channels(
        &self,
        request: api::ClusterGetChannelsRequest,
    ) -> api::ChannelsResponse {
        self.channel_summaries(&self.project_of(&request.project_id), request.channel_keys)
    }

    pub(super) fn cluster_broadcast(
        &self,
        context: &Context,
        request: api::ClusterBroadcastRequest,
    ) -> Result<api::Nothing, RpcError> {
        let project = self.project_of(&request.project_id);
        let event = api::ChannelEvent {
            topic: request.topic,
            payload: request.payload,
            publisher: SERVER_ACTOR.to_owned(),
            ..api::ChannelEvent::default()
        };
        self.broadcast_to(context, &project, &request.channel_key, event)
    }

    pub(super) fn cluster_channel_count(
        &self,
        request: &api::ClusterProjectRequest,
    ) -> api::ClusterChannelCountResponse {
        let count = self
            .channels
            .channel_count(&self.project_of(&request.project_id));
        api::ClusterChannelCountResponse {
            channel_count: i32::try_from(count).unwrap_or(i32::MAX),
        }
    }

    /// The key of a cached client or document is `project/id` here.
    pub(super) fn invalidate_cache(
        &self,
        request: &api::InvalidateCacheRequest,
    ) -> api::InvalidateCacheResponse {
        let found = request
            .key
            .split_once('/')
            .is_some_and(|(project, id)| self.database.invalidate(&self.project_of(project), id));
        api::InvalidateCacheResponse { success: found }
    }

    fn project_of_message(&self, project: Option<&api::Project>) -> String {
        let project = project.cloned().unwrap_or_default();
        self.project_of(if project.public_key.is_empty() {
            &project.id
        } else {
            &project.public_key
        })
    }
}

/// The actor of what no client did.
pub(super) const SERVER_ACTOR: &str = "000000000000000000000000";
