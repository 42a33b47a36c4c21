//! The version vectors of a document's clients; their minimum tells clients what
//! everybody has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use serde::Deserialize;
use serde_json::json;

use super::{Database, Vectors, ref_key};
use crate::instance::rows::{Attachment, Client};
use crate::protocol::error::RpcError;
use crate::store::query::{Condition, Filter, Update};

const VERSION_VECTORS: &str = "version_vectors";
/// More than any document has clients.
const ALL: usize = 1_000_000;

/// Lamport time by actor.
pub(crate) type Vector = BTreeMap<String, i64>;

#[derive(Deserialize)]
struct VectorRow {
    client_id: String,
    version_vector: Vector,
}

impl Database {
    /// Stores what a client has seen of a document, and gives the minimum over
    /// all its clients.
    pub(crate) async fn update_vectors(
        &self,
        client: &Client,
        document: &str,
        vector: Vector,
    ) -> Result<Vector, RpcError> {
        let attached = client.attachment(document) == Some(Attachment::Attached);
        let key = ref_key(&client.project_id, document);
        let cached = self.vectors.get(&key);
        let same = cached
            .as_ref()
            .is_some_and(|all| lock(all).get(&client.id) == Some(&vector));
        let filter = |client_id: Option<&str>| {
            let mut filter = Filter::from([
                (
                    "project_id".to_owned(),
                    Condition::Eq(json!(client.project_id)),
                ),
                ("doc_id".to_owned(), Condition::Eq(json!(document))),
            ]);
            if let Some(id) = client_id {
                filter.insert("client_id".to_owned(), Condition::Eq(json!(id)));
            }
            filter
        };
        if !attached {
            self.store
                .delete_one(VERSION_VECTORS, filter(Some(&client.id)))
                .await?;
        } else if !same {
            let mut update = Update::default();
            update
                .set
                .insert("version_vector".to_owned(), json!(vector));
            let filter = filter(Some(&client.id));
            self.store
                .upsert::<serde_json::Value>(VERSION_VECTORS, filter, update)
                .await?;
        }

        let all = if let Some(all) = cached {
            all
        } else {
            let rows: Vec<VectorRow> = self.store.find(VERSION_VECTORS, filter(None), ALL).await?;
            let rows = rows
                .into_iter()
                .map(|row| (row.client_id, row.version_vector));
            let all = Vectors::new(std::sync::Mutex::new(rows.collect()));
            self.vectors.get_or_insert(key, || all)
        };
        let mut all = lock(&all);
        if attached {
            all.insert(client.id.clone(), vector.clone());
        } else {
            all.remove(&client.id);
        }
        Ok(minimum(&all.values().chain([&vector]).collect::<Vec<_>>()))
    }
}

fn lock(all: &Vectors) -> std::sync::MutexGuard<'_, BTreeMap<String, Vector>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For every actor the smallest time; who is missing anywhere counts as 0.
fn minimum(vectors: &[&Vector]) -> Vector {
    let actors: BTreeSet<&String> = vectors.iter().flat_map(|vector| vector.keys()).collect();
    let least = |actor: &String| {
        let times = vectors
            .iter()
            .map(|vector| vector.get(actor).copied().unwrap_or(0));
        times.min().unwrap_or(0)
    };
    actors
        .into_iter()
        .map(|actor| (actor.clone(), least(actor)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(entries: &[(&str, i64)]) -> Vector {
        entries
            .iter()
            .map(|(actor, time)| ((*actor).to_owned(), *time))
            .collect()
    }

    #[test]
    fn the_minimum_counts_absence_as_zero() {
        let (a, b) = (vector(&[("x", 3), ("y", 5)]), vector(&[("x", 2)]));
        assert_eq!(minimum(&[&a, &b]), vector(&[("x", 2), ("y", 0)]));
        assert_eq!(minimum(&[]), Vector::new());
    }
}
