//! The administrators' service, as far as a router can tell the difference.

use http::{HeaderMap, header};

use super::cluster_calls::SERVER_ACTOR;
use super::request::Context;
use super::{DEFAULT_PROJECT, Instance, errors, ids};
use crate::api;
use crate::protocol::error::{Code, RpcError};

/// Name and password of the administrator, as Yorkie has them unless told
/// otherwise.
const ADMINISTRATOR: (&str, &str) = ("admin", "admin");

/// What an administrator shows after the log-in; every instance knows it.
const TOKEN: &str = "administrator";

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

/// Lets the administrator in.
pub(super) fn log_in(request: &api::LogInRequest) -> Result<api::LogInResponse, RpcError> {
    if (request.username.as_str(), request.password.as_str()) != ADMINISTRATOR {
        return Err(errors::MISMATCHED_PASSWORD.into());
    }
    Ok(api::LogInResponse {
        token: TOKEN.to_owned(),
    })
}

/// Refuses whoever is not logged in.
pub(super) fn check_token(headers: &HeaderMap) -> Result<(), RpcError> {
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '));
    match shown {
        Some((scheme, TOKEN)) if scheme.eq_ignore_ascii_case("bearer") => Ok(()),
        _ => Err(errors::UNAUTHENTICATED.into()),
    }
}

impl Instance {
    /// The default project, the only one that there is to know.
    pub(super) fn get_project(
        &self,
        request: &api::GetProjectRequest,
    ) -> Result<api::GetProjectResponse, RpcError> {
        if request.name != DEFAULT_PROJECT {
            return Err(errors::PROJECT_NOT_FOUND.at(&request.name));
        }
        Ok(api::GetProjectResponse {
            project: Some(api::Project {
                id: DEFAULT_PROJECT.to_owned(),
                name: DEFAULT_PROJECT.to_owned(),
                public_key: self.settings.default_public_key.clone(),
            }),
        })
    }

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
