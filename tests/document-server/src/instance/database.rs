//! The instance's view of the store: clients and documents through caches that
//! are right only as long as nobody else writes the same rows.

mod changes;
mod vectors;

pub(crate) use vectors::Vector;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::cache::Cache;
use super::change_store::ChangeStore;
use super::errors;
use super::rows::{Attachment, Client, ClientStatus, Document};
use crate::log::Moment;
use crate::protocol::error::RpcError;
use crate::store::client::StoreClient;
use crate::store::collection::new_id;
use crate::store::query::{Condition, Filter, Row, Update};

const CLIENTS: &str = "clients";
const DOCUMENTS: &str = "documents";

/// Project id and row id.
type RefKey = (String, String);
type SharedChanges = Arc<tokio::sync::Mutex<ChangeStore>>;
type Vectors = Arc<std::sync::Mutex<BTreeMap<String, BTreeMap<String, i64>>>>;

/// Store and caches of one instance.
#[derive(Debug)]
pub(crate) struct Database {
    store: StoreClient,
    clients: Cache<RefKey, Client>,
    documents: Cache<RefKey, Document>,
    changes: Cache<RefKey, SharedChanges>,
    /// Changes of presence alone; they never reach the store.
    presences: Cache<RefKey, SharedChanges>,
    vectors: Cache<RefKey, Vectors>,
}

impl Database {
    /// A view of `store` with empty caches.
    #[must_use]
    pub(crate) fn new(store: StoreClient) -> Self {
        Self {
            store,
            clients: Cache::default(),
            documents: Cache::default(),
            changes: Cache::default(),
            presences: Cache::default(),
            vectors: Cache::default(),
        }
    }

    /// Adds an active client.
    pub(crate) async fn activate_client(
        &self,
        project: &str,
        key: &str,
        metadata: Value,
    ) -> Result<Client, RpcError> {
        let row = json!({
            "_id": new_id(), "project_id": project, "key": key, "status": ClientStatus::Activated,
            "documents": {}, "metadata": metadata, "created_at": Moment::now().wall_ms,
        });
        let Value::Object(row) = row else {
            return Err(errors::CLIENT_NOT_FOUND.into());
        };
        let client: Client = self.store.insert(CLIENTS, row).await?;
        self.clients
            .put(ref_key(project, &client.id), client.clone());
        Ok(client)
    }

    /// A client that is active, from the cache if it is there and not `fresh`.
    pub(crate) async fn active_client(
        &self,
        project: &str,
        id: &str,
        fresh: bool,
    ) -> Result<Client, RpcError> {
        let key = ref_key(project, id);
        let cached = if fresh { None } else { self.clients.get(&key) };
        let client = if let Some(client) = cached {
            client
        } else {
            let found = self
                .store
                .find_one(CLIENTS, row_filter(project, id))
                .await?;
            let client: Client = found.ok_or_else(|| errors::CLIENT_NOT_FOUND.at(id))?;
            if !fresh {
                self.clients.put(key, client.clone());
            }
            client
        };
        client.ensure_active()?;
        Ok(client)
    }

    /// Marks a document as being attached, so that the client is not deactivated
    /// meanwhile.
    pub(crate) async fn try_attaching(
        &self,
        client: &Client,
        document: &str,
    ) -> Result<Client, RpcError> {
        let field = |name: &str| format!("documents.{document}.{name}");
        let mut filter = row_filter(&client.project_id, &client.id);
        filter.insert(
            "status".to_owned(),
            Condition::Eq(json!(ClientStatus::Activated)),
        );
        filter.insert(field("status"), Condition::Ne(json!(Attachment::Attached)));
        let update = Update {
            set: BTreeMap::from([
                (field("status"), json!(Attachment::Attaching)),
                (field("server_seq"), json!(0)),
                (field("client_seq"), json!(0)),
            ]),
            ..Update::default()
        };
        let updated = self.store.update_one(CLIENTS, filter, update).await?;
        let updated: Client = updated.ok_or_else(|| {
            errors::CLIENT_NOT_FOUND.at(format_args!("try attaching {document} to {}", client.id))
        })?;
        self.clients
            .put(ref_key(&client.project_id, &client.id), updated.clone());
        Ok(updated)
    }

    /// Deactivates a client that has no attached document.
    pub(crate) async fn deactivate_client(&self, project: &str, id: &str) -> Result<(), RpcError> {
        let mut filter = row_filter(project, id);
        filter.insert(
            "status".to_owned(),
            Condition::Eq(json!(ClientStatus::Activated)),
        );
        filter.insert(
            "documents.*.status".to_owned(),
            Condition::NotIn(vec![
                json!(Attachment::Attaching),
                json!(Attachment::Attached),
            ]),
        );
        let update = Update {
            set: BTreeMap::from([("status".to_owned(), json!(ClientStatus::Deactivated))]),
            ..Update::default()
        };
        let updated: Option<Client> = self.store.update_one(CLIENTS, filter, update).await?;
        let updated =
            updated.ok_or_else(|| errors::CLIENT_NOT_FOUND.at(format_args!("deactivate {id}")))?;
        self.clients.put(ref_key(project, id), updated);
        Ok(())
    }

    /// Stores how far a client is in a document, unless the cache knows as much.
    pub(crate) async fn update_client(
        &self,
        client: &Client,
        document: &str,
    ) -> Result<(), RpcError> {
        let Some(entry) = client.documents.get(document) else {
            return Err(errors::DOCUMENT_NEVER_ATTACHED.at(document));
        };
        let key = ref_key(&client.project_id, &client.id);
        let known = self
            .clients
            .get(&key)
            .and_then(|c| c.documents.get(document).cloned());
        if known.is_some_and(|known| {
            known.server_seq >= entry.server_seq
                && known.client_seq >= entry.client_seq
                && known.status == entry.status
        }) {
            return Ok(());
        }
        self.clients.remove(&key);

        let field = |name: &str| format!("documents.{document}.{name}");
        let mut update = Update::default();
        update.set.insert(field("status"), json!(entry.status));
        if entry.status == Attachment::Attached {
            update.max.insert(field("server_seq"), entry.server_seq);
            update
                .max
                .insert(field("client_seq"), entry.client_seq.into());
        } else {
            update.set.insert(field("server_seq"), json!(0));
            update.set.insert(field("client_seq"), json!(0));
            self.forget_presence(client, document).await;
        }
        let filter = row_filter(&client.project_id, &client.id);
        let updated = self.store.update_one(CLIENTS, filter, update).await?;
        self.clients.put(
            key,
            updated.ok_or_else(|| errors::CLIENT_NOT_FOUND.at(&client.id))?,
        );
        Ok(())
    }

    async fn forget_presence(&self, client: &Client, document: &str) {
        let actor = super::ids::actor_bytes(&client.id).unwrap_or_default();
        if let Some(presences) = self.presences.get(&ref_key(&client.project_id, document)) {
            presences.lock().await.forget_presence_of(&actor);
        }
    }

    /// The document with a key, created when there is none. Not from the cache.
    pub(crate) async fn find_or_create_document(
        &self,
        client: &Client,
        key: &str,
        disable_presence: bool,
    ) -> Result<Document, RpcError> {
        let filter = Filter::from([
            (
                "project_id".to_owned(),
                Condition::Eq(json!(client.project_id)),
            ),
            ("key".to_owned(), Condition::Eq(json!(key))),
            ("removed_at".to_owned(), Condition::Exists(false)),
        ]);
        let now = Moment::now().wall_ms;
        let update = Update {
            set: BTreeMap::from([("accessed_at".to_owned(), json!(now))]),
            set_on_insert: BTreeMap::from([
                ("owner".to_owned(), json!(client.id)),
                ("server_seq".to_owned(), json!(0)),
                ("created_at".to_owned(), json!(now)),
                ("disable_presence".to_owned(), json!(disable_presence)),
            ]),
            ..Update::default()
        };
        Ok(self.store.upsert(DOCUMENTS, filter, update).await?)
    }

    /// A document, from the cache if it is there.
    pub(crate) async fn document(&self, project: &str, id: &str) -> Result<Document, RpcError> {
        let key = ref_key(project, id);
        if let Some(document) = self.documents.get(&key) {
            return Ok(document);
        }
        let found = self
            .store
            .find_one(DOCUMENTS, row_filter(project, id))
            .await?;
        let document: Document = found.ok_or_else(|| errors::DOCUMENT_NOT_FOUND.at(id))?;
        self.documents.put(key, document.clone());
        Ok(document)
    }

    /// The document with a key. Not from the cache.
    pub(crate) async fn document_by_key(
        &self,
        project: &str,
        key: &str,
    ) -> Result<Document, RpcError> {
        let filter = Filter::from([
            ("project_id".to_owned(), Condition::Eq(json!(project))),
            ("key".to_owned(), Condition::Eq(json!(key))),
            ("removed_at".to_owned(), Condition::Exists(false)),
        ]);
        let found = self.store.find_one(DOCUMENTS, filter).await?;
        found.ok_or_else(|| errors::DOCUMENT_NOT_FOUND.at(key))
    }

    /// Forgets a cached client or document; whether one was cached.
    pub(crate) fn invalidate(&self, project: &str, id: &str) -> bool {
        let key = ref_key(project, id);
        let client = self.clients.remove(&key);
        self.documents.remove(&key) || client
    }
}

fn ref_key(project: &str, id: &str) -> RefKey {
    (project.to_owned(), id.to_owned())
}

fn row_filter(project: &str, id: &str) -> Filter {
    Filter::from([
        ("project_id".to_owned(), Condition::Eq(json!(project))),
        ("_id".to_owned(), Condition::Eq(json!(id))),
    ])
}

/// A row's field with bytes in base64.
fn bytes_field(row: &Row, name: &str) -> Bytes {
    let text = row.get(name).and_then(Value::as_str).unwrap_or_default();
    crate::protocol::codec::base64_decode(text)
        .unwrap_or_default()
        .into()
}
