//! What the control plane is doing and has done.

use serde::{Deserialize, Serialize};

use crate::rebalance::Record;
use crate::rebalance::machine::Stage;

/// The rebalance under way and those before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rebalances {
    /// What the rebalance is doing.
    pub stage: Stage,
    /// Whether a change waits for the rebalance under way.
    pub pending: bool,
    /// The rebalance under way.
    pub rebalance: Option<RebalanceStatus>,
    /// The last ten that are over, newest first.
    pub last: Vec<RebalanceStatus>,
}

/// A rebalance, and what follows from its record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RebalanceStatus {
    /// What is kept of it.
    #[serde(flatten)]
    pub record: Record,
    /// See [`Record::split_ms`].
    pub split_ms: Option<u64>,
}

impl From<Record> for RebalanceStatus {
    fn from(record: Record) -> Self {
        let split_ms = record.split_ms();
        Self { record, split_ms }
    }
}
