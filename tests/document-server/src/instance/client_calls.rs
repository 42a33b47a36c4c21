//! Clients come and go.

use std::sync::Arc;

use serde_json::json;

use super::request::Context;
use super::rows::Attachment;
use super::{Instance, errors, ids};
use crate::api;
use crate::protocol::error::RpcError;

impl Instance {
    pub(super) async fn activate_client(
        &self,
        context: &Context,
        request: api::ActivateClientRequest,
    ) -> Result<api::ActivateClientResponse, RpcError> {
        if request.client_key.is_empty() {
            return Err(errors::INVALID_CLIENT_KEY.into());
        }
        let metadata = json!(request.metadata);
        let client = self
            .database
            .activate_client(&context.project, &request.client_key, metadata)
            .await?;
        context.client(&client.id);
        Ok(api::ActivateClientResponse {
            client_id: client.id,
        })
    }

    pub(super) async fn deactivate_client(
        self: &Arc<Self>,
        context: &Context,
        request: api::DeactivateClientRequest,
    ) -> Result<api::Nothing, RpcError> {
        ids::check_client_id(&request.client_id)?;
        context.client(&request.client_id);
        if request.synchronous {
            self.deactivate(&context.project, &request.client_id)
                .await?;
        } else {
            let (instance, project) = (Arc::clone(self), context.project.clone());
            tokio::spawn(async move {
                if let Err(error) = instance.deactivate(&project, &request.client_id).await {
                    crate::log::line(&json!({
                        "event": "deactivation_failed", "instance": instance.id(),
                        "client_id": request.client_id, "error": error.to_string(),
                        "at": crate::log::Moment::now(),
                    }));
                }
            });
        }
        Ok(api::Nothing {})
    }

    /// Detaches a client from all its documents, each through the instance that
    /// serves it, and deactivates it.
    async fn deactivate(self: &Arc<Self>, project: &str, id: &str) -> Result<(), RpcError> {
        let client = self.database.active_client(project, id, true).await?;
        let held = client.documents.iter().filter(|(_, entry)| {
            matches!(entry.status, Attachment::Attached | Attachment::Attaching)
        });
        for (document_id, _) in held {
            let document = self.database.document(project, document_id).await?;
            let request = api::ClusterDetachDocumentRequest {
                project: Some(api::Project {
                    id: project.to_owned(),
                    public_key: self.public_key_of(project).to_owned(),
                    ..api::Project::default()
                }),
                client_id: id.to_owned(),
                document_id: document_id.clone(),
                document_key: document.key,
            };
            match &self.cluster {
                Some(cluster) => cluster.detach_document(&request).await?,
                None => self.detach_by_cluster(request).await?,
            }
        }
        self.database.deactivate_client(project, id).await
    }
}
