//! What a person wants of a member.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Serve without it, for a maintenance: its streams are drained, and it
    /// stays known.
    Drain,
    /// Serve with it again.
    Undrain,
    /// Let it back that was ejected, once it passes its checks.
    Readmit,
}

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OrderRefused {
    /// The registry does not list it.
    #[error("there is no member {id:?}")]
    Unknown {
        /// Who was meant.
        id: String,
    },
    /// Nobody else would serve.
    #[error("{id} is the last member that serves: start or undrain another first")]
    Last {
        /// Who was meant.
        id: String,
    },
    /// There is nothing to let it back from.
    #[error("{id} is not ejected")]
    NotEjected {
        /// Who was meant.
        id: String,
    },
    /// It could not be written down, and would not outlive a restart.
    #[error("the order was carried out, but not saved: a restart may forget it")]
    NotSaved,
    /// The control plane is shutting down.
    #[error("the control plane takes no orders any more")]
    Closed,
}

impl Order {
    /// As it stands in paths and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Readmit => "readmit",
        }
    }
}
