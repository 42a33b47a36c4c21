//! Who owns a key.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sharding::{Assignment, KeyError, Resource, ShardKey};
use thiserror::Error;

/// A key and its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// As it was asked for.
    pub key: String,
    /// As the filter would make it, and Envoy hash it.
    pub canonical: String,
    /// xxHash64 of that.
    pub hash: u64,
    /// Its slot of the Maglev table, or its entry of the ring.
    pub slot: usize,
    /// Id of the member.
    pub owner: String,
    /// Where that serves.
    pub address: SocketAddr,
    /// Of the assignment, if it is one that is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// Why there is no owner.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OwnerError {
    /// The filter would refuse it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The roster is empty.
    #[error("there are no members")]
    NoMembers,
}

impl Owner {
    /// The owner of `key`, which names a `resource`; without one it is taken as
    /// it stands.
    ///
    /// # Errors
    /// When the key is malformed, or nobody serves.
    pub fn of(
        assignment: &Assignment,
        key: &str,
        resource: Option<Resource>,
    ) -> Result<Self, OwnerError> {
        let canonical = match resource {
            None => key.to_owned(),
            Some(resource) => ShardKey::from_header(key.as_bytes(), resource)?.to_string(),
        };
        let owner = assignment
            .owner(canonical.as_bytes())
            .ok_or(OwnerError::NoMembers)?;
        Ok(Self {
            key: key.to_owned(),
            hash: owner.hash,
            slot: owner.slot,
            owner: owner.member.id.clone(),
            address: owner.member.address,
            epoch: None,
            canonical,
        })
    }
}
