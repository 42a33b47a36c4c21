//! Changes: written before the document's number is compared and swapped, so
//! that of two owners one overwrites the other's acknowledged change and only
//! then learns that it was too late.

use std::sync::Arc;

use prost::Message as _;
use serde_json::{Value, json};

use super::{DOCUMENTS, Database, SharedChanges, bytes_field, ref_key, row_filter};
use crate::api;
use crate::instance::change_store::{ChangeStore, SharedChange};
use crate::instance::rows::{Checkpoint, Document};
use crate::instance::{change_store::server_seq, errors, ids};
use crate::log::Moment;
use crate::protocol::codec::base64_padded;
use crate::protocol::error::{Code, RpcError};
use crate::store::query::{Condition, Filter, Row, Update};

const CHANGES: &str = "changes";
/// How many changes are read from the store at a time.
const CHUNK: usize = 1000;

impl Database {
    /// Numbers and stores changes of a document. Gives the document and the
    /// client's checkpoint as they are then.
    ///
    /// # Errors
    /// `failed_precondition` when another instance numbered changes meanwhile.
    pub(crate) async fn create_changes(
        &self,
        project: &str,
        id: &str,
        mut reached: Checkpoint,
        changes: Vec<api::Change>,
        remove: bool,
    ) -> Result<(Document, Checkpoint), RpcError> {
        let mut document = self.document(project, id).await?;
        if changes.is_empty() && !remove {
            return Ok((document, reached));
        }
        let before = document.server_seq;
        let (mut operations, mut presences) = (Vec::new(), Vec::new());
        for mut change in changes {
            document.server_seq += 1;
            reached.server_seq = document.server_seq;
            if let Some(id) = &mut change.id {
                id.server_seq = document.server_seq;
                reached.client_seq = reached.client_seq.max(id.client_seq);
            }
            if !change.operations.is_empty() {
                operations.push(Arc::new(change));
            } else if change.presence_change.is_some() {
                presences.push(Arc::new(change));
            }
        }

        let key = ref_key(project, id);
        if !presences.is_empty() {
            let known = self
                .presences
                .get_or_insert(key.clone(), SharedChanges::default);
            known.lock().await.put(presences);
        }
        if !operations.is_empty() {
            let rows = operations
                .iter()
                .map(|change| to_upsert(project, id, change))
                .collect();
            self.store.bulk_upsert(CHANGES, rows).await?;
        }
        {
            let known = self
                .changes
                .get_or_insert(key.clone(), SharedChanges::default);
            let mut known = known.lock().await;
            known.put(operations);
            known.mark_known(before + 1, document.server_seq);
        }

        let mut filter = row_filter(project, id);
        filter.insert("server_seq".to_owned(), Condition::Eq(json!(before)));
        let mut update = Update::default();
        update
            .set
            .insert("server_seq".to_owned(), json!(document.server_seq));
        if remove {
            document.removed_at = Some(Moment::now().wall_ms);
            update
                .set
                .insert("removed_at".to_owned(), json!(document.removed_at));
        }
        let swapped = self
            .store
            .update_one::<Value>(DOCUMENTS, filter, update)
            .await;
        if !matches!(swapped, Ok(Some(_))) {
            self.documents.remove(&key);
            swapped?;
            return Err(errors::CONFLICT_ON_UPDATE.at(format_args!("create changes of {id}")));
        }
        self.documents.put(key, document.clone());
        Ok((document, reached))
    }

    /// The changes of a document within these bounds.
    pub(crate) async fn changes_between(
        &self,
        project: &str,
        id: &str,
        first: i64,
        last: i64,
    ) -> Result<Vec<SharedChange>, RpcError> {
        if first > last {
            return Ok(Vec::new());
        }
        let key = ref_key(project, id);
        let mut merged = ChangeStore::default();
        if let Some(presences) = self.presences.get(&key) {
            merged.put(presences.lock().await.between(first, last));
        }
        let known = self.changes.get_or_insert(key, SharedChanges::default);
        let mut known = known.lock().await;
        for (from, to) in known.missing(first, last) {
            let read = self.read_changes(project, id, from, to).await?;
            known.put(read);
            known.mark_known(from, to);
        }
        merged.put(known.between(first, last));
        Ok(merged.between(first, last))
    }

    async fn read_changes(
        &self,
        project: &str,
        id: &str,
        mut from: i64,
        to: i64,
    ) -> Result<Vec<SharedChange>, RpcError> {
        let mut all = Vec::new();
        loop {
            let filter = Filter::from([
                ("project_id".to_owned(), Condition::Eq(json!(project))),
                ("doc_id".to_owned(), Condition::Eq(json!(id))),
                ("server_seq".to_owned(), Condition::Between(from, to)),
            ]);
            let rows: Vec<Row> = self.store.find(CHANGES, filter, CHUNK).await?;
            let full = rows.len() == CHUNK;
            for row in rows {
                let change = from_row(&row)?;
                from = server_seq(&change) + 1;
                all.push(Arc::new(change));
            }
            if !full || from > to {
                return Ok(all);
            }
        }
    }
}

fn to_upsert(project: &str, document: &str, change: &api::Change) -> (Filter, Update) {
    let id = change.id.clone().unwrap_or_default();
    let filter = Filter::from([
        ("project_id".to_owned(), Condition::Eq(json!(project))),
        ("doc_id".to_owned(), Condition::Eq(json!(document))),
        ("server_seq".to_owned(), Condition::Eq(json!(id.server_seq))),
    ]);
    let mut update = Update::default();
    let actor = ids::hex(&id.actor_id);
    let fields = [
        ("actor_id", json!(actor)),
        ("client_seq", json!(id.client_seq)),
        ("lamport", json!(id.lamport)),
        ("message", json!(change.message)),
        ("change", json!(base64_padded(&change.encode_to_vec()))),
    ];
    update
        .set
        .extend(fields.map(|(name, value)| (name.to_owned(), value)));
    (filter, update)
}

fn from_row(row: &Row) -> Result<api::Change, RpcError> {
    api::Change::decode(bytes_field(row, "change"))
        .map_err(|error| RpcError::new(Code::Internal, format!("stored change: {error}")))
}
