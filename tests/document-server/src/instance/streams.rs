//! The watch streams that are open now.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// The open streams of one instance.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Value>>,
    opened_documents: AtomicU64,
}

impl Streams {
    /// Adds a stream with what is known of it; gives its number.
    pub(crate) fn open(&self, facts: Value) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, facts);
        number
    }

    /// Removes a stream.
    pub(crate) fn close(&self, number: u64) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
    }

    /// The open streams, oldest first.
    #[must_use]
    pub(crate) fn list(&self) -> Value {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        json!(open.values().collect::<Vec<_>>())
    }

    /// Counts a document watch up or down, as the server's metric does.
    pub(crate) fn count_document_watch(&self, opened: bool) {
        if opened {
            self.opened_documents.fetch_add(1, Ordering::Relaxed);
        } else {
            self.opened_documents.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The document watches that are open.
    #[must_use]
    pub(crate) fn document_watches(&self) -> u64 {
        self.opened_documents.load(Ordering::Relaxed)
    }
}
