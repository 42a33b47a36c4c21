//! How an instance reaches the store.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::query::{Filter, Row, Update};
use super::server::Operation;

/// How long one operation may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Why an operation failed. What it would have changed is unknown then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not be reached, or did not answer in time.
    #[error("store not reached: {0}")]
    Unreachable(String),
    /// The store refused the operation.
    #[error("store answered {0}: {1}")]
    Refused(StatusCode, String),
    /// The store answered something else than was expected.
    #[error("store answer not understood: {0}")]
    Answer(#[from] serde_json::Error),
}

/// A handle on the store.
#[derive(Clone, Debug)]
pub struct StoreClient {
    base: Uri,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl StoreClient {
    /// A client of the store at `base`, for example `http://127.0.0.1:9000`.
    #[must_use]
    pub fn new(base: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base,
            http: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// The first row that passes a filter.
    ///
    /// # Errors
    /// See [`StoreError`]; so for all operations.
    pub async fn find_one<T: DeserializeOwned>(
        &self,
        collection: &str,
        filter: Filter,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.find(collection, filter, 1).await?.into_iter().next())
    }

    /// The rows that pass a filter, sorted as the collection is, at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn find<T: DeserializeOwned>(
        &self,
        collection: &str,
        filter: Filter,
        limit: usize,
    ) -> Result<Vec<T>, StoreError> {
        self.run(collection, &Operation::Find(filter, limit)).await
    }

    /// Adds a row and gives it back with its id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert<T: DeserializeOwned>(
        &self,
        collection: &str,
        row: Row,
    ) -> Result<T, StoreError> {
        self.run(collection, &Operation::Insert(row)).await
    }

    /// Changes the first row that passes a filter and gives it as it is then;
    /// nothing when no row passes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn update_one<T: DeserializeOwned>(
        &self,
        collection: &str,
        filter: Filter,
        update: Update,
    ) -> Result<Option<T>, StoreError> {
        self.run(collection, &Operation::UpdateOne(filter, update, false))
            .await
    }

    /// As [`Self::update_one`], and creates the row when none passes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn upsert<T: DeserializeOwned>(
        &self,
        collection: &str,
        filter: Filter,
        update: Update,
    ) -> Result<T, StoreError> {
        self.run(collection, &Operation::UpdateOne(filter, update, true))
            .await
    }

    /// Upserts many rows; each is atomic, the whole is not.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn bulk_upsert(
        &self,
        collection: &str,
        rows: Vec<(Filter, Update)>,
    ) -> Result<(), StoreError> {
        self.run(collection, &Operation::BulkUpsert(rows))
            .await
            .map(|_: Value| ())
    }

    /// Deletes the first row that passes a filter.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_one(&self, collection: &str, filter: Filter) -> Result<bool, StoreError> {
        self.run(collection, &Operation::DeleteOne(filter)).await
    }

    async fn run<T: DeserializeOwned>(
        &self,
        collection: &str,
        operation: &Operation,
    ) -> Result<T, StoreError> {
        let unreachable = |error: &dyn std::fmt::Display| {
            StoreError::Unreachable(format!("{}: {error}", self.base))
        };
        let base = self.base.to_string();
        let request = Request::post(format!("{}/{collection}", base.trim_end_matches('/')))
            .body(Full::from(serde_json::to_vec(operation)?))
            .map_err(|error| unreachable(&error))?;
        let answer = async {
            let response = self
                .http
                .request(request)
                .await
                .map_err(|e| unreachable(&e))?;
            let status = response.status();
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(|e| unreachable(&e))?;
            Ok::<_, StoreError>((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(LIMIT, answer)
            .await
            .map_err(|error| unreachable(&error))??;
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body).into_owned();
            return Err(StoreError::Refused(status, text));
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
