//! Documents are attached, edited, detached and removed.

use super::push_pull::{Options, check_pack};
use super::request::Context;
use super::rows::{Attachment, Client, Document};
use super::{Instance, errors, ids};
use crate::api;
use crate::protocol::error::RpcError;

impl Instance {
    pub(super) async fn attach_document(
        &self,
        context: &Context,
        request: api::AttachDocumentRequest,
    ) -> Result<api::AttachDocumentResponse, RpcError> {
        ids::check_client_id(&request.client_id)?;
        context.client(&request.client_id);
        let pack = check_pack(request.change_pack)?;
        context.document_key(&pack.document_key);
        ids::check_key(&pack.document_key)?;
        let _pulling = self.pulling(&request.client_id, &pack.document_key).await;

        let client = self
            .database
            .active_client(&context.project, &request.client_id, false)
            .await?;
        let document = self
            .database
            .find_or_create_document(&client, &pack.document_key, request.disable_presence)
            .await?;
        context.document_id(&document.id);
        let again = pack
            .checkpoint
            .is_some_and(|reached| reached.client_seq != 0);
        let client = self.attach(client, &document, again).await?;
        let options = Options {
            push_only: false,
            status: Attachment::Attached,
            disable_gc: request.disable_gc,
            disable_presence: document.disable_presence,
        };
        let pack = self.push_pull(client, &document.id, pack, options).await?;
        Ok(api::AttachDocumentResponse {
            document_id: document.id,
            change_pack: Some(pack),
            max_size_per_document: 0,
            disable_presence: document.disable_presence,
        })
    }

    /// Puts the document among the client's, from the beginning of its history.
    async fn attach(
        &self,
        client: Client,
        document: &Document,
        again: bool,
    ) -> Result<Client, RpcError> {
        let what = format!("client({}) attaches {}", client.id, document.id);
        if again && client.attachment(&document.id) == Some(Attachment::Detached) {
            return Err(errors::DOCUMENT_ALREADY_DETACHED.at(what));
        }
        let mut client = match client.attachment(&document.id) {
            Some(Attachment::Attaching) => client,
            _ => self.database.try_attaching(&client, &document.id).await?,
        };
        client.ensure_active()?;
        let entry = client.documents.get_mut(&document.id);
        let entry = entry.ok_or_else(|| errors::DOCUMENT_NEVER_ATTACHED.at(&what))?;
        if entry.status == Attachment::Attached {
            return Err(errors::DOCUMENT_ALREADY_ATTACHED.at(what));
        }
        entry.status = Attachment::Attached;
        (entry.server_seq, entry.client_seq) = (0, 0);
        Ok(client)
    }

    pub(super) async fn push_pull_changes(
        &self,
        context: &Context,
        request: api::PushPullChangesRequest,
    ) -> Result<api::PushPullChangesResponse, RpcError> {
        let options = Options {
            push_only: request.push_only,
            status: Attachment::Attached,
            disable_gc: request.disable_gc,
            disable_presence: false,
        };
        let (client, document) = (request.client_id, request.document_id);
        let pack = self
            .sync(context, &client, &document, request.change_pack, options)
            .await?;
        Ok(api::PushPullChangesResponse {
            change_pack: Some(pack),
        })
    }

    pub(super) async fn detach_document(
        &self,
        context: &Context,
        request: api::DetachDocumentRequest,
    ) -> Result<api::DetachDocumentResponse, RpcError> {
        let options = Options {
            status: Attachment::Detached,
            ..LAST
        };
        let (client, document) = (request.client_id, request.document_id);
        let pack = self
            .sync(context, &client, &document, request.change_pack, options)
            .await?;
        Ok(api::DetachDocumentResponse {
            change_pack: Some(pack),
        })
    }

    pub(super) async fn remove_document(
        &self,
        context: &Context,
        request: api::RemoveDocumentRequest,
    ) -> Result<api::RemoveDocumentResponse, RpcError> {
        let (client, document) = (request.client_id, request.document_id);
        let pack = self
            .sync(context, &client, &document, request.change_pack, LAST)
            .await?;
        Ok(api::RemoveDocumentResponse {
            change_pack: Some(pack),
        })
    }

    /// A push and pull for a document that was attached before. As in the real
    /// server, that the pack's key fits the id is not checked.
    async fn sync(
        &self,
        context: &Context,
        client_id: &str,
        document_id: &str,
        pack: Option<api::ChangePack>,
        options: Options,
    ) -> Result<api::ChangePack, RpcError> {
        ids::check_client_id(client_id)?;
        context.client(client_id);
        let pack = check_pack(pack)?;
        context.document_key(&pack.document_key);
        ids::check_id(document_id)?;
        context.document_id(document_id);
        let _pulling = self.pulling(client_id, &pack.document_key).await;

        let client = self
            .database
            .active_client(&context.project, client_id, false)
            .await?;
        if options.status == Attachment::Attached {
            client.ensure_attached(document_id, None)?;
        }
        let document = self
            .database
            .document(&context.project, document_id)
            .await?;
        let options = Options {
            disable_presence: document.disable_presence,
            ..options
        };
        self.push_pull(client, document_id, pack, options).await
    }

    /// One client pulls one document once at a time.
    pub(super) async fn pulling(
        &self,
        client_id: &str,
        document_key: &str,
    ) -> tokio::sync::OwnedMutexGuard<()> {
        self.locks
            .lock(format!("doc-pull-{client_id}-{document_key}"))
            .await
    }
}

/// The last push and pull of a client in a document.
const LAST: Options = Options {
    push_only: false,
    status: Attachment::Removed,
    disable_gc: false,
    disable_presence: false,
};
