//! How keys are spread over the roster: the consistent-hash policy and its
//! sizes, within Envoy's limits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::maglev::{MAX_TABLE_SIZE, is_prime};

/// Largest ring that Envoy accepts (`RingHashLbConfig`, 8 Mi entries).
pub const MAX_RING_SIZE: u32 = 8_388_608;

const DEFAULT_TABLE_SIZE: u32 = 65_537;
const DEFAULT_MINIMUM_RING_SIZE: u32 = 1024;

/// Maglev or ring hash with its sizes.
///
/// One text form everywhere, on the command line, in configuration files and
/// on the way to the filter: `maglev[:TABLE_SIZE]` (default 65537) or
/// `ring_hash[:MINIMUM[:MAXIMUM[:xxhash|murmur2]]]` (default
/// `1024:8388608:xxhash`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Policy {
    /// Maglev (Eisenbud et al., NSDI 2016) in Envoy's weighted variant.
    Maglev {
        /// Slots; prime, at most [`MAX_TABLE_SIZE`].
        table_size: u32,
    },
    /// Ring hash ("ketama") in Envoy's weighted variant.
    RingHash {
        /// Fewest entries, at least 1.
        minimum_ring_size: u32,
        /// Most entries, at least the minimum, at most [`MAX_RING_SIZE`].
        maximum_ring_size: u32,
        /// Hashes the entries; a key is always hashed with XXH64.
        hash_function: HashFunction,
    },
}

/// Hash of the entries of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashFunction {
    /// XXH64 with seed 0.
    XxHash,
    /// `MurmurHash2` 64A as in libstdc++.
    Murmur2,
}

/// Why a policy text is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Neither of the two forms.
    #[error(
        "policy {0:?} is not known: expected maglev[:TABLE_SIZE] or ring_hash[:MINIMUM[:MAXIMUM[:xxhash|murmur2]]]"
    )]
    Unknown(String),
    /// Envoy refuses a table that is not prime or too large.
    #[error("maglev table size {0} is not usable: expected a prime of at most {MAX_TABLE_SIZE}")]
    TableSize(u32),
    /// Envoy refuses rings outside these bounds.
    #[error(
        "ring size {minimum}:{maximum} is not usable: expected 1 <= minimum <= maximum <= {MAX_RING_SIZE}"
    )]
    RingSize {
        /// The minimum asked for.
        minimum: u32,
        /// The maximum asked for.
        maximum: u32,
    },
}

impl Policy {
    fn check(self) -> Result<Self, PolicyError> {
        match self {
            Self::Maglev { table_size } if table_size > MAX_TABLE_SIZE || !is_prime(table_size) => {
                Err(PolicyError::TableSize(table_size))
            }
            Self::RingHash {
                minimum_ring_size: minimum,
                maximum_ring_size: maximum,
                ..
            } if minimum == 0 || minimum > maximum || maximum > MAX_RING_SIZE => {
                Err(PolicyError::RingSize { minimum, maximum })
            }
            usable => Ok(usable),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::Maglev {
            table_size: DEFAULT_TABLE_SIZE,
        }
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let unknown = || PolicyError::Unknown(text.to_owned());
        let size = |part: Option<&str>, default| match part {
            Some(part) => part.parse::<u32>().map_err(|_| unknown()),
            None => Ok(default),
        };
        let mut parts = text.split(':');
        let policy = match parts.next() {
            Some("maglev") => Self::Maglev {
                table_size: size(parts.next(), DEFAULT_TABLE_SIZE)?,
            },
            Some("ring_hash") => Self::RingHash {
                minimum_ring_size: size(parts.next(), DEFAULT_MINIMUM_RING_SIZE)?,
                maximum_ring_size: size(parts.next(), MAX_RING_SIZE)?,
                hash_function: match parts.next() {
                    None | Some("xxhash") => HashFunction::XxHash,
                    Some("murmur2") => HashFunction::Murmur2,
                    Some(_) => return Err(unknown()),
                },
            },
            _ => return Err(unknown()),
        };
        if parts.next().is_some() {
            return Err(unknown());
        }
        policy.check()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maglev { table_size } => write!(f, "maglev:{table_size}"),
            Self::RingHash {
                minimum_ring_size,
                maximum_ring_size,
                hash_function,
            } => {
                write!(f, "ring_hash:{minimum_ring_size}:{maximum_ring_size}")?;
                match hash_function {
                    HashFunction::XxHash => Ok(()),
                    HashFunction::Murmur2 => write!(f, ":murmur2"),
                }
            }
        }
    }
}

impl TryFrom<String> for Policy {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back_as_itself() {
        for text in [
            "maglev:65537",
            "maglev:2",
            "maglev:5000011",
            "ring_hash:1024:8388608",
            "ring_hash:1:1",
            "ring_hash:7:4096:murmur2",
        ] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn sizes_may_be_left_out() {
        assert_eq!("maglev".parse(), Ok(Policy::default()));
        assert_eq!(
            "ring_hash".parse::<Policy>().unwrap().to_string(),
            "ring_hash:1024:8388608"
        );
        assert_eq!(
            "ring_hash:5".parse::<Policy>().unwrap().to_string(),
            "ring_hash:5:8388608"
        );
    }

    #[test]
    fn what_envoy_would_refuse_is_refused_with_the_value() {
        for (text, message) in [
            ("maglev:65536", "maglev table size 65536 is not usable"),
            ("maglev:0", "maglev table size 0 is not usable"),
            ("maglev:1", "maglev table size 1 is not usable"),
            ("maglev:5000077", "maglev table size 5000077 is not usable"),
            ("ring_hash:0:8", "ring size 0:8 is not usable"),
            ("ring_hash:9:8", "ring size 9:8 is not usable"),
            ("ring_hash:9:8388609", "ring size 9:8388609 is not usable"),
            ("maglev:65537:1", "policy \"maglev:65537:1\" is not known"),
            ("maglev:x", "policy \"maglev:x\" is not known"),
            (
                "ring_hash:1:2:md5",
                "policy \"ring_hash:1:2:md5\" is not known",
            ),
            ("random", "policy \"random\" is not known"),
            ("", "policy \"\" is not known"),
        ] {
            let error = text.parse::<Policy>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
