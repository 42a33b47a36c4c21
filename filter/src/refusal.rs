//! Why a request is not routed, for its caller and for the metrics.

use sharding::{API_KEY, KeyError, SHARD_KEY};
use thiserror::Error;

use crate::host::HostError;
use crate::metrics::Counter;
use crate::rpc::Code;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No key, and routing it anywhere would be a guess.
    #[error("no shard key: expected header {SHARD_KEY} with project/resource")]
    NoKey,
    /// The rule of its path takes no key and allows no server.
    #[error("no shard key: the key rule of this path refuses every request")]
    Closed,
    /// Not a shard key.
    #[error("header {header}: {error}")]
    Malformed {
        /// Where it comes from.
        header: &'static str,
        /// What is wrong.
        error: KeyError,
    },
    /// Two keys that are not one.
    #[error("header {SHARD_KEY} is given twice, as {0:?} and as {1:?}: expected one key")]
    ConflictingKeys(String, String),
    /// Cannot be half of a shard key.
    #[error("header {API_KEY} cannot be the project of a shard key")]
    MalformedApiKey,
    /// Two projects.
    #[error("header {API_KEY} is given twice with different values: expected one")]
    ConflictingApiKeys,
    /// The key of somebody else's project.
    #[error("header {SHARD_KEY} names project {key:?}, but header {API_KEY} is {api_key:?}")]
    Forged {
        /// The project of the key.
        key: String,
        /// The project of the request.
        api_key: String,
    },
    /// No configuration was ever understood.
    #[error("the router has no configuration yet")]
    Unconfigured,
    /// The host did not do what the filter needs.
    #[error("the router failed: {0}")]
    Host(#[from] HostError),
}

impl Refusal {
    /// A key from `header` that is none.
    #[must_use]
    pub fn malformed(header: &'static str, error: KeyError) -> Self {
        Self::Malformed { header, error }
    }

    /// The status for the caller. Only two: Yorkie's SDKs try again after
    /// `unavailable` alone, and on a lasting fault they must not.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Unconfigured | Self::Host(_) => Code::Unavailable,
            _ => Code::InvalidArgument,
        }
    }

    /// Where it is counted.
    #[must_use]
    pub fn counter(&self) -> Counter {
        match self {
            Self::NoKey | Self::Closed => Counter::RefusedNoKey,
            Self::Malformed { .. } | Self::MalformedApiKey => Counter::RefusedMalformed,
            Self::ConflictingKeys(..) | Self::ConflictingApiKeys => Counter::RefusedConflicting,
            Self::Forged { .. } => Counter::RefusedForged,
            Self::Unconfigured => Counter::RefusedUnconfigured,
            Self::Host(_) => Counter::RefusedHost,
        }
    }

    /// Response code details for the access log.
    #[must_use]
    pub fn details(&self) -> &'static str {
        match self {
            Self::NoKey | Self::Closed => "yorkies_no_key",
            Self::Malformed { .. } | Self::MalformedApiKey => "yorkies_malformed_key",
            Self::ConflictingKeys(..) | Self::ConflictingApiKeys => "yorkies_conflicting_keys",
            Self::Forged { .. } => "yorkies_forged_key",
            Self::Unconfigured => "yorkies_unconfigured",
            Self::Host(_) => "yorkies_host_call_failed",
        }
    }
}
