//! A connection to Yorkie's database.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use thiserror::Error;
use tokio::time::timeout;

use crate::config::Yorkie;

/// How long a server is waited for: until it is connected, until there is one
/// that may be asked, and until everything is read.
const CONNECTING: Duration = Duration::from_secs(1);
const SELECTING: Duration = Duration::from_secs(2);
const ANSWERING: Duration = Duration::from_secs(3);

/// Where Yorkie has its rows.
const COLLECTION: &str = "clusternodes";

/// Why the rows could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The file with the URI.
    #[error("{path}: cannot be read: {reason}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// What is in that file. It is a secret, and so is what is wrong with it.
    #[error(
        "{path}: expected mongodb://USER:PASSWORD@HOST:PORT, with %XX for what has a meaning in a URI",
        path = .path.display()
    )]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// Nobody is there, or nobody who is believed, or whoever is there says no.
    #[error("MongoDB: {0}")]
    Refused(String),
    /// Somebody is there and says nothing.
    #[error("MongoDB: no answer within {}", humantime::format_duration(ANSWERING))]
    Silent,
}

/// A client that has found its servers, or will.
#[derive(Debug)]
pub(super) struct Session {
    rows: Collection<Document>,
}

impl Session {
    /// By what the settings and their file say now. No server needs to be there.
    pub(super) async fn open(settings: &Yorkie) -> Result<Self, SessionError> {
        let mut options = within(options(settings)).await?;
        options.app_name.get_or_insert_with(|| "yorkies".to_owned());
        options.connect_timeout = Some(CONNECTING);
        options.server_selection_timeout = Some(SELECTING);
        let client = Client::with_options(options).map_err(refused)?;
        let database = client.database(&settings.database);
        Ok(Self {
            rows: database.collection(COLLECTION),
        })
    }

    /// All rows, up to so many, and with each what time it is: the database's
    /// own, as heartbeats are written by it.
    pub(super) async fn read(&self, limit: usize) -> Result<Vec<Document>, SessionError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let question = [
            doc! { "$limit": i64::from(limit) },
            doc! { "$project": { "_id": 0, "rpc_addr": 1, "updated_at": 1, "now": "$$NOW" } },
        ];
        within(async {
            let asked = self.rows.aggregate(question);
            let rows = asked.batch_size(limit).max_time(ANSWERING).await;
            let rows = rows.map_err(refused)?.try_collect().await;
            rows.map_err(refused)
        })
        .await
    }
}

async fn options(settings: &Yorkie) -> Result<ClientOptions, SessionError> {
    let Some(path) = &settings.uri_file else {
        // Checked: there is one of both.
        let uri = settings.uri.as_deref().unwrap_or_default();
        return ClientOptions::parse(uri).await.map_err(refused);
    };
    let uri = fs::read_to_string(path).map_err(|reason| SessionError::File {
        path: path.clone(),
        reason,
    })?;
    let secret = |_| SessionError::Secret { path: path.clone() };
    ClientOptions::parse(uri.trim()).await.map_err(secret)
}

async fn within<T>(
    answer: impl Future<Output = Result<T, SessionError>>,
) -> Result<T, SessionError> {
    let answered = timeout(ANSWERING, answer).await;
    answered.unwrap_or(Err(SessionError::Silent))
}

/// Without the labels, which are for who tries again.
fn refused(error: mongodb::error::Error) -> SessionError {
    let mongodb::error::Error { kind, .. } = error;
    SessionError::Refused(kind.to_string())
}
