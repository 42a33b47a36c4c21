//! Keys and ids that clients send.

use std::fmt::Write as _;

use super::errors;
use crate::protocol::error::RpcError;

/// Checks a client's id.
///
/// # Errors
/// `invalid_argument` unless it is 24 hexadecimal digits.
pub(crate) fn check_client_id(id: &str) -> Result<(), RpcError> {
    actor_bytes(id)
        .map(drop)
        .ok_or_else(|| errors::INVALID_HEX.at(id))
}

/// Checks the id of a document or a channel session.
///
/// # Errors
/// `invalid_argument` unless it is 24 hexadecimal digits.
pub(crate) fn check_id(id: &str) -> Result<(), RpcError> {
    actor_bytes(id)
        .map(drop)
        .ok_or_else(|| errors::INVALID_ID.at(id))
}

/// Checks a document's or channel's key.
///
/// # Errors
/// `invalid_argument` unless it is 4 to 120 unreserved characters.
pub(crate) fn check_key(key: &str) -> Result<(), RpcError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if (4..=120).contains(&key.len()) && key.bytes().all(allowed) {
        return Ok(());
    }
    Err(errors::INVALID_KEY.into())
}

/// Checks that a channel's key is a path: segments between dots, none empty.
///
/// # Errors
/// `invalid_argument` otherwise.
pub(crate) fn check_channel_path(key: &str) -> Result<(), RpcError> {
    if key.split('.').all(|segment| !segment.is_empty()) {
        return Ok(());
    }
    Err(errors::INVALID_CHANNEL_KEY.into())
}

/// The twelve bytes of an id.
#[must_use]
pub(crate) fn actor_bytes(id: &str) -> Option<Vec<u8>> {
    if id.len() != 24 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..12)
        .map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).ok())
        .collect()
}

/// Bytes in hexadecimal digits.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_slugs() {
        for key in ["abcd", "a.b-c_~9", &"k".repeat(120)] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        for key in ["", "abc", "ab/cd", "abcdé", "ab cd", &"k".repeat(121)] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }

    #[test]
    fn ids_are_twelve_bytes() {
        assert_eq!(
            actor_bytes("000102030405060708090a0B").map(|b| b[11]),
            Some(11)
        );
        for id in ["", "00", "00010203040506070809zzzz", "éééééééééééé"] {
            assert!(check_client_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn channel_paths_have_no_empty_segment() {
        assert!(check_channel_path("room.1.x").is_ok());
        for key in [".room", "room.", "room..1"] {
            assert!(check_channel_path(key).is_err(), "{key}");
        }
    }
}
