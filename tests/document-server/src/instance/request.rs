//! What is known of a request beside its message, and what is noted for the log.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// The headers a router adds or guards.
const SHARD_HEADERS: [&str; 3] = ["x-shard-key", "x-shard-epoch", "x-shard-owner"];

/// The shard headers of a request, each with all its values.
#[must_use]
pub(super) fn shard_headers(headers: &HeaderMap) -> Map<String, Value> {
    let values = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).into_iter();
        values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    };
    SHARD_HEADERS
        .into_iter()
        .map(|name| (name.to_owned(), json!(values(name))))
        .collect()
}

/// What a call was about, as far as it found out.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Notes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) document_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) document_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel_key: Option<String>,
}

/// One request on its way through the calls.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) project: String,
    pub(super) protocol: &'static str,
    pub(super) shard_headers: Map<String, Value>,
    /// When the caller stops waiting, if it said so.
    pub(super) deadline: Option<Instant>,
    notes: Arc<Mutex<Notes>>,
}

impl Context {
    pub(super) fn new(project: String, protocol: &'static str, headers: &HeaderMap) -> Self {
        let shard_headers = shard_headers(headers);
        Self {
            project,
            protocol,
            shard_headers,
            deadline: None,
            notes: Arc::default(),
        }
    }

    /// The same, for a caller who waits no longer than this.
    pub(super) fn until(&self, deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    pub(super) fn client(&self, id: &str) {
        self.note(|notes| notes.client_id = Some(id.to_owned()));
    }

    pub(super) fn document_key(&self, key: &str) {
        self.note(|notes| notes.document_key = Some(key.to_owned()));
    }

    pub(super) fn document_id(&self, id: &str) {
        self.note(|notes| notes.document_id = Some(id.to_owned()));
    }

    pub(super) fn channel(&self, key: &str) {
        self.note(|notes| notes.channel_key = Some(key.to_owned()));
    }

    pub(super) fn notes(&self) -> Notes {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, write: impl FnOnce(&mut Notes)) {
        write(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
