//! The administrators' service, as far as a router can tell the difference.

use super::cluster_calls::SERVER_ACTOR;
use super::request::Context;
use super::{Instance, ids};
use crate::api;
use crate::protocol::error::{Code, RpcError};

/// The methods that answer nothing, because nothing is what there is: no
/// projects, members, schemas or revisions are kept.
pub(super) const EMPTY: [&str; 9] = [
    "ListProjects",
    "ListMembers",
    "ListDocuments",
    "SearchDocuments",
    "ListSchemas",
    "GetSchemas",
    "ListRevisionsByAdmin",
    "ListChannels",
    "GetServerVersion",
];

impl Instance {
    pub(super) async fn list_changes(
        &self,
        context: &Context,
        request: api::AdminDocumentRequest,
    ) -> Result<api::ListChangesResponse, RpcError> {
        context.document_key(&request.document_key);
        ids::check_key(&request.document_key)?;
        let project = &context.project;
        let document = self
            .database
            .document_by_key(project, &request.document_key)
            .await?;
        let changes = self
            .database
            .changes_between(project, &document.id, 1, document.server_seq)
            .await?;
        let changes = changes
            .iter()
            .map(|change| api::Change::clone(change))
            .collect();
        Ok(api::ListChangesResponse { changes })
    }

    /// The document exists, or does not: its content is not known here.
    pub(super) async fn admin_document(
        &self,
        context: &Context,
        request: api::AdminDocumentRequest,
    ) -> RpcError {
        context.document_key(&request.document_key);
        match self
            .database
            .document_by_key(&context.project, &request.document_key)
            .await
        {
            Ok(_) => not_implemented(),
            Err(error) => error,
        }
    }

    pub(super) fn admin_broadcast(
        &self,
        context: &Context,
        request: api::AdminBroadcastRequest,
    ) -> Result<api::Nothing, RpcError> {
        let event = api::ChannelEvent {
            publisher: SERVER_ACTOR.to_owned(),
            topic: request.topic,
            payload: request.payload,
            ..api::ChannelEvent::default()
        };
        self.broadcast_to(context, &context.project, &request.channel_key, event)
    }
}

/// For what would be a lie to answer otherwise.
pub(super) fn not_implemented() -> RpcError {
    RpcError::new(
        Code::Unimplemented,
        "not implemented by this document server",
    )
}
