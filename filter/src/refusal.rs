//! Why a request is not routed, for its caller and for the metrics.

use std::time::Duration;

use sharding::{API_KEY, CLUSTER_SECRET, KeyError, SHARD_KEY};
use thiserror::Error;

use crate::body::{BodyError, SearchError};
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
    /// As before, and the request was searched for one too.
    #[error(
        "no shard key: expected header {SHARD_KEY} with project/resource, or a request that names its resource"
    )]
    NoKeyFound,
    /// Only the id of a document, whose key this proxy has not learned, or
    /// not yet.
    #[error(
        "document id {0:?} is not known to this proxy: expected header {SHARD_KEY} with project/resource, or that the document is attached again"
    )]
    UnknownId(String),
    /// Routed by its project, and that is not known.
    #[error("no project: expected header {API_KEY} or header {SHARD_KEY} with project/resource")]
    NoProject,
    /// The rule of its path takes no key and allows no server.
    #[error("no shard key: the key rule of this path refuses every request")]
    Closed,
    /// Not a shard key.
    #[error("{place}: {error}")]
    Malformed {
        /// Where it comes from.
        place: &'static str,
        /// What is wrong.
        error: KeyError,
    },
    /// Two keys that are not one.
    #[error("header {SHARD_KEY} is given twice, as {0:?} and as {1:?}: expected one key")]
    ConflictingKeys(String, String),
    /// Two keys in one place that are not one.
    #[error("{place} names the resource twice, as {first:?} and as {second:?}: expected one")]
    Ambiguous {
        /// Where they come from.
        place: &'static str,
        /// The first.
        first: String,
        /// Another.
        second: String,
    },
    /// Two places name different resources.
    #[error("{place} is {key:?}, but {other_place} names {other:?}")]
    Mismatch {
        /// Where the key comes from.
        place: &'static str,
        /// The key.
        key: String,
        /// The place that contradicts.
        other_place: &'static str,
        /// What that says.
        other: String,
    },
    /// Cannot be half of a shard key.
    #[error("{0} cannot be the project of a shard key")]
    MalformedProject(&'static str),
    /// Two projects.
    #[error(
        "header {API_KEY} is given twice with different values, of which servers take the first: expected one"
    )]
    ConflictingApiKeys,
    /// The key of somebody else's project.
    #[error("header {SHARD_KEY} names project {key:?}, but {place} is {project:?}")]
    Forged {
        /// The project of the key.
        key: String,
        /// Where the request names its project.
        place: &'static str,
        /// The project of the request.
        project: String,
    },
    /// The key should be in the body, which cannot be read.
    #[error("the shard key cannot be read from the message: {0}")]
    Body(#[from] BodyError),
    /// The body is needed and does not come.
    #[error("the message did not come in time: expected the part with its shard key within {0:?}")]
    BodyTimeout(Duration),
    /// The body has to be compared with the header, and cannot be read.
    #[error("the message cannot be compared with header {SHARD_KEY}: its content type is unknown")]
    UnknownType,
    /// A message in the query that is none.
    #[error("the message in the query cannot be read: {0}")]
    Query(&'static str),
    /// Only servers of the cluster may call this, and the caller did not show
    /// that it is one.
    #[error("only servers of the cluster may call this: header {CLUSTER_SECRET} is {0}")]
    Outsider(&'static str),
    /// As before, and there is no way to show it.
    #[error(
        "only servers of the cluster may call this: configure cluster_secret_sha256, or call by an internal listener"
    )]
    NoSecret,
    /// A rule that cannot be applied, although the configuration was accepted.
    #[error("the key rule of this path cannot be applied: {0}")]
    Rule(#[from] SearchError),
    /// No configuration was ever understood.
    #[error("the router has no configuration yet")]
    Unconfigured,
    /// The host did not do what the filter needs.
    #[error("the router failed: {0}")]
    Host(#[from] HostError),
}

/// Most characters of an id that a message quotes; Yorkie's have 24.
const SHOWN_OF_AN_ID: usize = 40;

impl Refusal {
    /// An id that nobody has attached through this proxy.
    #[must_use]
    pub fn unknown_id(id: &str) -> Self {
        let mut shown: String = id.chars().take(SHOWN_OF_AN_ID).collect();
        if shown.len() < id.len() {
            shown.push_str("...");
        }
        Self::UnknownId(shown)
    }

    /// A text from `place` that is no key.
    #[must_use]
    pub fn malformed(place: &'static str, error: KeyError) -> Self {
        Self::Malformed { place, error }
    }

    /// The status for the caller. Yorkie's SDKs try again after `unavailable`
    /// alone, and on a lasting fault they must not.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            // Attaching again heals an unknown id, a better network a late message.
            Self::UnknownId(_)
            | Self::BodyTimeout(_)
            | Self::Unconfigured
            | Self::Host(_)
            | Self::Rule(_) => Code::Unavailable,
            Self::Outsider(_) | Self::NoSecret => Code::PermissionDenied,
            // As servers answer an encoding that they do not have.
            Self::Body(BodyError::UnknownEncoding) | Self::UnknownType => Code::Unimplemented,
            _ => Code::InvalidArgument,
        }
    }

    /// Where it is counted.
    #[must_use]
    pub fn counter(&self) -> Counter {
        self.class().0
    }

    /// Response code details for the access log.
    #[must_use]
    pub fn details(&self) -> &'static str {
        self.class().1
    }

    fn class(&self) -> (Counter, &'static str) {
        match self {
            Self::NoKey | Self::NoKeyFound | Self::NoProject | Self::Closed => {
                (Counter::RefusedNoKey, "yorkies_no_key")
            }
            Self::UnknownId(_) => (Counter::RefusedUnknownId, "yorkies_unknown_id"),
            Self::Malformed { .. } | Self::MalformedProject(_) => {
                (Counter::RefusedMalformed, "yorkies_malformed_key")
            }
            Self::ConflictingKeys(..) | Self::ConflictingApiKeys | Self::Ambiguous { .. } => {
                (Counter::RefusedConflicting, "yorkies_conflicting_keys")
            }
            Self::Forged { .. } => (Counter::RefusedForged, "yorkies_forged_key"),
            Self::Mismatch { .. } => (Counter::RefusedMismatch, "yorkies_mismatched_key"),
            Self::Body(BodyError::TooLarge { .. }) => {
                (Counter::RefusedTooLarge, "yorkies_message_too_large")
            }
            Self::BodyTimeout(_) => (Counter::RefusedBodyTimeout, "yorkies_body_timeout"),
            Self::Body(_) | Self::UnknownType | Self::Query(_) => {
                (Counter::RefusedUnreadable, "yorkies_unreadable_message")
            }
            Self::Outsider(_) | Self::NoSecret => (Counter::RefusedOutsider, "yorkies_outsider"),
            Self::Unconfigured => (Counter::RefusedUnconfigured, "yorkies_unconfigured"),
            Self::Host(_) | Self::Rule(_) => (Counter::RefusedHost, "yorkies_host_call_failed"),
        }
    }
}
