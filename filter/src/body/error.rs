//! Why no value was found.

use std::fmt;

use sharding::FieldPath;
use thiserror::Error;

use super::search::{MAX_VALUE_LEN, MAX_VALUES};

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Not what it claims to be.
    #[error("malformed {layer} at byte {at}: {problem}")]
    Malformed {
        /// What was being read.
        layer: Layer,
        /// Where, counted from 0 in what this layer reads: for protobuf and
        /// JSON the message, for the others the body.
        at: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// It stops in the middle.
    #[error("the body ends within {layer}, after byte {at}")]
    EndedEarly {
        /// What was being read.
        layer: Layer,
        /// How many bytes of it there were.
        at: u64,
    },
    /// It goes on past the limit, and what is wanted was not found.
    #[error("the message is too large: {limit} bytes were read and more were needed")]
    TooLarge {
        /// How many bytes may be read, compressed and plain each.
        limit: usize,
    },
    /// Compressed with something else than gzip, or flagged as compressed
    /// while no encoding is named.
    #[error("the message is compressed, but its encoding is not gzip")]
    UnknownEncoding,
    /// Not a text.
    #[error("field {0} is not UTF-8")]
    NotUtf8(FieldPath),
    /// Too long for a key.
    #[error("field {0} is longer than {MAX_VALUE_LEN} bytes")]
    ValueTooLong(FieldPath),
    /// Too often for all occurrences to be reported.
    #[error("field {0} occurs more than {MAX_VALUES} times")]
    TooManyValues(FieldPath),
}

/// What is peeled off a body, layer by layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Text of `grpc-web-text`.
    Base64,
    /// Flags and length before a message.
    Envelope,
    /// Compression.
    Gzip,
    /// A message in wire format.
    Proto,
    /// A message in JSON.
    Json,
}

impl Layer {
    pub(super) fn malformed(self, at: u64, problem: &'static str) -> BodyError {
        BodyError::Malformed {
            layer: self,
            at,
            problem,
        }
    }

    pub(super) fn ended(self, at: u64) -> BodyError {
        BodyError::EndedEarly { layer: self, at }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base64 => "base64",
            Self::Envelope => "envelope",
            Self::Gzip => "gzip",
            Self::Proto => "protobuf",
            Self::Json => "JSON",
        })
    }
}
