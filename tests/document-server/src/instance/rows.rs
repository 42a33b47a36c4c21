//! What the store holds, as the instances read and write it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::errors;
use crate::protocol::error::RpcError;

/// How far a client is in a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The last change of the document that the client has.
    pub(crate) server_seq: i64,
    /// The last change of the client that the server has.
    pub(crate) client_seq: u32,
}

/// Whether a client is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) enum ClientStatus {
    Activated,
    Deactivated,
}

/// What a client does with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) enum Attachment {
    Attaching,
    Attached,
    Detached,
    Removed,
}

/// A document in a client's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientDocument {
    /// What the client does with it.
    pub(crate) status: Attachment,
    /// See [`Checkpoint::server_seq`].
    pub(crate) server_seq: i64,
    /// See [`Checkpoint::client_seq`].
    pub(crate) client_seq: u32,
}

/// A row of the collection `clients`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    /// The client's id, 24 hexadecimal digits; also its actor id.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// The project it belongs to.
    pub(crate) project_id: String,
    /// The key the application gave it.
    pub(crate) key: String,
    /// Whether it is active.
    pub(crate) status: ClientStatus,
    /// Its documents by id.
    #[serde(default)]
    pub(crate) documents: BTreeMap<String, ClientDocument>,
}

impl Client {
    /// How far the client is in a document.
    #[must_use]
    pub(crate) fn checkpoint(&self, document: &str) -> Checkpoint {
        self.documents
            .get(document)
            .map_or_else(Checkpoint::default, |entry| Checkpoint {
                server_seq: entry.server_seq,
                client_seq: entry.client_seq,
            })
    }

    /// What the client does with a document, if it ever did anything.
    #[must_use]
    pub(crate) fn attachment(&self, document: &str) -> Option<Attachment> {
        self.documents.get(document).map(|entry| entry.status)
    }

    /// # Errors
    /// `failed_precondition` when the client is not active.
    pub(crate) fn ensure_active(&self) -> Result<(), RpcError> {
        if self.status == ClientStatus::Activated {
            return Ok(());
        }
        Err(errors::CLIENT_NOT_ACTIVATED.at(format_args!("client({})", self.id)))
    }

    /// # Errors
    /// `failed_precondition` when the client is not active or has not attached
    /// the document.
    pub(crate) fn ensure_attached(
        &self,
        document: &str,
        also: Option<Attachment>,
    ) -> Result<(), RpcError> {
        self.ensure_active()?;
        let status = self.attachment(document);
        if status == Some(Attachment::Attached) || (also.is_some() && status == also) {
            return Ok(());
        }
        Err(errors::DOCUMENT_NOT_ATTACHED.at(format_args!("{document} in client({})", self.id)))
    }

    /// Notes the state after a push and pull.
    ///
    /// # Errors
    /// `failed_precondition` when the document is not in the state that this
    /// step starts from.
    pub(crate) fn advance(
        &mut self,
        document: &str,
        status: Attachment,
        reached: Checkpoint,
    ) -> Result<(), RpcError> {
        let ends = matches!(status, Attachment::Detached | Attachment::Removed);
        if ends {
            self.ensure_attached(document, Some(Attachment::Attaching))?;
        }
        let Some(entry) = self.documents.get_mut(document) else {
            return Err(errors::DOCUMENT_NEVER_ATTACHED.at(document));
        };
        let reached = if ends { Checkpoint::default() } else { reached };
        if ends {
            entry.status = status;
        }
        entry.server_seq = reached.server_seq;
        entry.client_seq = reached.client_seq;
        Ok(())
    }
}

/// A row of the collection `documents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// The document's id, 24 hexadecimal digits.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// The project it belongs to.
    pub(crate) project_id: String,
    /// Its key.
    pub(crate) key: String,
    /// The number of its last change.
    pub(crate) server_seq: i64,
    /// Fixed by whoever attached the document first.
    #[serde(default)]
    pub(crate) disable_presence: bool,
    /// Unix milliseconds, once it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) removed_at: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::error::Code;

    fn client(status: Attachment) -> Client {
        let document = ClientDocument {
            status,
            server_seq: 4,
            client_seq: 2,
        };
        Client {
            id: "c".to_owned(),
            project_id: "p".to_owned(),
            key: "k".to_owned(),
            status: ClientStatus::Activated,
            documents: BTreeMap::from([("d".to_owned(), document)]),
        }
    }

    #[test]
    fn detaching_forgets_the_checkpoint() {
        let mut client = client(Attachment::Attached);
        let reached = Checkpoint {
            server_seq: 9,
            client_seq: 3,
        };
        client
            .advance("d", Attachment::Detached, reached)
            .expect("was attached");
        assert_eq!(client.checkpoint("d"), Checkpoint::default());
        let again = client
            .advance("d", Attachment::Detached, reached)
            .expect_err("is detached");
        assert_eq!(again.code, Code::FailedPrecondition);
    }

    #[test]
    fn a_pull_moves_the_checkpoint_only() {
        let mut client = client(Attachment::Attached);
        let reached = Checkpoint {
            server_seq: 9,
            client_seq: 3,
        };
        client
            .advance("d", Attachment::Attached, reached)
            .expect("was attached");
        assert_eq!(client.checkpoint("d"), reached);
        assert_eq!(client.attachment("d"), Some(Attachment::Attached));
    }
}
