//! The store over HTTP: `POST /{collection}` with one operation in JSON.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::collection::{self, Collection};
use super::query::{Filter, Row, Update};
use crate::protocol::reply::{Body, full};

const MAX_BODY: usize = 64 * 1024 * 1024;

/// An operation on one collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Adds a row; answers it.
    Insert(Row),
    /// Answers the rows that pass the filter, at most so many.
    Find(Filter, usize),
    /// Changes the first row that passes, or creates it when the last member is
    /// true; answers the row as it is afterwards, or null.
    UpdateOne(Filter, Update, bool),
    /// Creates or changes a row for each pair. Not atomic as a whole.
    BulkUpsert(Vec<(Filter, Update)>),
    /// Deletes the first row that passes; answers whether there was one.
    DeleteOne(Filter),
}

/// All data, in memory.
#[derive(Clone, Debug)]
pub struct Store {
    collections: Arc<Mutex<HashMap<&'static str, Collection>>>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            collections: Arc::new(Mutex::new(collection::all())),
        }
    }
}

impl Store {
    /// Does one operation; nothing when there is no such collection.
    #[must_use]
    pub fn run(&self, collection: &str, operation: Operation) -> Option<Value> {
        if let Operation::BulkUpsert(pairs) = operation {
            for (filter, update) in pairs {
                self.run(collection, Operation::UpdateOne(filter, update, true))?;
            }
            return Some(Value::Null);
        }
        let mut collections = self
            .collections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let collection = collections.get_mut(collection)?;
        Some(match operation {
            Operation::Insert(row) => Value::Object(collection.insert(row)),
            Operation::Find(filter, limit) => json!(collection.find(&filter, limit)),
            Operation::UpdateOne(filter, update, upsert) => {
                json!(collection.update_one(&filter, &update, upsert))
            }
            Operation::DeleteOne(filter) => json!(collection.delete_one(&filter)),
            Operation::BulkUpsert(_) => Value::Null,
        })
    }

    /// Answers one HTTP request: `POST /{collection}` with an [`Operation`].
    pub async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let collection = request.uri().path().trim_start_matches('/').to_owned();
        let body = match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return respond(StatusCode::BAD_REQUEST, &json!(error.to_string())),
        };
        let operation = match serde_json::from_slice(&body) {
            Ok(operation) => operation,
            Err(error) => return respond(StatusCode::BAD_REQUEST, &json!(error.to_string())),
        };
        match self.run(&collection, operation) {
            Some(answer) => respond(StatusCode::OK, &answer),
            None => respond(StatusCode::NOT_FOUND, &json!("no such collection")),
        }
    }
}

fn respond(status: StatusCode, answer: &Value) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from(answer.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
