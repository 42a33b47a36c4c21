//! From a method's name to the call that answers it.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::admin_calls::{self, not_implemented};
use super::request::Context;
use super::{Instance, errors};
use crate::api;
use crate::protocol::error::{Code, RpcError};
use crate::protocol::reply::{Call, Reply};

type Answer = Result<Reply, RpcError>;

impl Instance {
    /// Answers one call.
    pub(super) async fn call(self: &Arc<Self>, context: &Context, call: Call) -> Answer {
        match call.service.as_str() {
            "yorkie.v1.YorkieService" => self.yorkie(context, &call).await,
            "yorkie.v1.AdminService" => self.admin(context, &call).await,
            "yorkie.v1.ClusterService" => self.cluster(context, &call).await,
            "grpc.health.v1.Health" => match call.method.as_str() {
                "Check" => unary(Self::check_health(&message(&call)?)?),
                _ => Err(Self::watch_health()),
            },
            _ => Err(not_implemented()),
        }
    }

    async fn yorkie(self: &Arc<Self>, context: &Context, call: &Call) -> Answer {
        match call.method.as_str() {
            "ActivateClient" => unary(self.activate_client(context, message(call)?).await?),
            "DeactivateClient" => unary(self.deactivate_client(context, message(call)?).await?),
            "AttachDocument" => unary(self.attach_document(context, message(call)?).await?),
            "DetachDocument" => unary(self.detach_document(context, message(call)?).await?),
            "RemoveDocument" => unary(self.remove_document(context, message(call)?).await?),
            "PushPullChanges" => unary(self.push_pull_changes(context, message(call)?).await?),
            "AttachChannel" => unary(self.attach_channel(context, message(call)?).await?),
            "DetachChannel" => unary(self.detach_channel(context, message(call)?).await?),
            "RefreshChannel" => unary(self.refresh_channel(context, message(call)?).await?),
            "PeekChannel" => unary(self.peek_channel(context, &message(call)?)?),
            "Broadcast" => unary(self.broadcast(context, message(call)?).await?),
            "Watch" => self.watch(context, message(call)?).await.map(Reply::Stream),
            "WatchDocument" => self
                .watch_document(context, message(call)?)
                .await
                .map(Reply::Stream),
            "WatchChannel" => self
                .watch_channel(context, message(call)?)
                .await
                .map(Reply::Stream),
            method => self.revision(context, method, message(call)?).await,
        }
    }

    /// No revision was ever made here, so there is none to find.
    async fn revision(
        &self,
        context: &Context,
        method: &str,
        request: api::RevisionRequest,
    ) -> Answer {
        context.client(&request.client_id);
        super::ids::check_id(&request.document_id)?;
        context.document_id(&request.document_id);
        let document = self
            .database
            .document(&context.project, &request.document_id)
            .await?;
        context.document_key(&document.key);
        match method {
            "ListRevisions" => unary(api::Nothing {}),
            "GetRevision" | "RestoreRevision" => Err(errors::REVISION_NOT_FOUND.into()),
            _ => Err(not_implemented()),
        }
    }

    async fn admin(&self, context: &Context, call: &Call) -> Answer {
        match call.method.as_str() {
            "LogIn" => unary(admin_calls::log_in(&message(call)?)?),
            "GetProject" => {
                admin_calls::check_token(&call.headers)?;
                unary(self.get_project(&message(call)?)?)
            }
            "ListChanges" => unary(self.list_changes(context, message(call)?).await?),
            "BroadcastByAdmin" => unary(self.admin_broadcast(context, message(call)?)?),
            "GetChannels" => {
                let request: api::AdminChannelsRequest = message(call)?;
                unary(self.channel_summaries(&context.project, request.channel_keys))
            }
            "GetDocument"
            | "UpdateDocument"
            | "RemoveDocumentByAdmin"
            | "GetSnapshotMeta"
            | "CompactDocumentByAdmin" => Err(self.admin_document(context, message(call)?).await),
            method if admin_calls::EMPTY.contains(&method) => unary(api::Nothing {}),
            _ => Err(not_implemented()),
        }
    }

    async fn cluster(&self, context: &Context, call: &Call) -> Answer {
        match call.method.as_str() {
            "DetachDocument" => unary(
                self.cluster_detach_document(context, message(call)?)
                    .await?,
            ),
            "GetDocument" => unary(self.cluster_get_document(context, message(call)?).await?),
            "GetChannels" => unary(self.cluster_get_channels(message(call)?)),
            "Broadcast" => unary(self.cluster_broadcast(context, message(call)?)?),
            "GetChannelCount" => unary(self.cluster_channel_count(&message(call)?)),
            "InvalidateCache" => unary(self.invalidate_cache(&message(call)?)),
            // Documents are never compacted: `compacted` stays false.
            "CompactDocument" => {
                let request: api::ClusterDocumentRequest = message(call)?;
                context.document_key(&request.document_key);
                unary(api::Nothing {})
            }
            "PurgeDocument" => {
                let request: api::ClusterDocumentRequest = message(call)?;
                context.document_key(&request.document_key);
                Err(not_implemented())
            }
            _ => Err(not_implemented()),
        }
    }
}

fn message<M: Message + Default>(call: &Call) -> Result<M, RpcError> {
    M::decode(call.message.clone())
        .map_err(|error| RpcError::new(Code::InvalidArgument, format!("unmarshal: {error}")))
}

#[allow(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "the last step of every call, in one word"
)]
fn unary(message: impl Message) -> Answer {
    Ok(Reply::Unary(Bytes::from(message.encode_to_vec())))
}
