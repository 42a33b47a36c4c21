//! How a request that is routed has to look. Pure.

use sharding::Owner;

use crate::derive::Derived;
use crate::headers::RequestHeaders;
use crate::key::Key;
use crate::state::Current;

/// What to write into the headers of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Annotations<'a> {
    /// What happens to `x-shard-key`.
    pub shard_key: Change,
    /// What happens to `x-shard-owner`.
    pub owner: Change,
    /// Who owns the key, as far as the filter knows.
    pub owned_by: Option<Owner<'a>>,
}

/// What happens to a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is right already, or absent and shall be.
    Keep,
    /// It becomes the only one of its name.
    Set,
    /// Every one of its name goes.
    Remove,
}

impl<'a> Annotations<'a> {
    /// Those of a request with these headers and that key, under an assignment.
    #[must_use]
    pub fn of(derived: &Derived<'_>, headers: &RequestHeaders<'_>, current: &'a Current) -> Self {
        let owned_by = match (&derived.key, &current.assignment) {
            (Some(key), Some(assignment)) => assignment.owner(key.as_str().as_bytes()),
            _ => None,
        };
        let shard_key = match &derived.key {
            None if headers.shard_keys.is_empty() => Change::Keep,
            None => Change::Remove,
            Some(key) if is_there(key, headers) => Change::Keep,
            Some(_) => Change::Set,
        };
        let owner = match owned_by {
            Some(_) => Change::Set,
            None if headers.has_owner => Change::Remove,
            None => Change::Keep,
        };
        Self {
            shard_key,
            owner,
            owned_by,
        }
    }
}

/// Whether the key is the one and only value of its header already.
fn is_there(key: &Key<'_>, headers: &RequestHeaders<'_>) -> bool {
    headers.shard_keys.len() == 1
        && headers
            .shard_keys
            .filled()
            .next()
            .is_some_and(|value| value == key.as_str().as_bytes())
}
