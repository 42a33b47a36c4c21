//! Text encodings of the protocols.

use std::fmt::Write;

/// Percent-encodes a gRPC status message: everything but printable ASCII, and
/// the percent sign (gRPC over HTTP/2, "Responses").
pub(super) fn grpc_message(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Standard base64 with padding (RFC 4648, 4).
pub(super) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .chain(&[0; 3])
            .take(3)
            .fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        for position in 0..4 {
            let digit = (bits >> (18 - 6 * position) & 63) as u8;
            encoded.push(if position <= group.len() {
                base64_digit(digit)
            } else {
                b'='
            });
        }
    }
    encoded
}

fn base64_digit(digit: u8) -> u8 {
    match digit {
        0..=25 => b'A' + digit,
        26..=51 => b'a' + (digit - 26),
        52..=61 => b'0' + (digit - 52),
        62 => b'+',
        _ => b'/',
    }
}

/// A message envelope: flags and length, then the payload.
pub(super) fn envelope(flags: u8, payload: &[u8]) -> Vec<u8> {
    // Payloads are error texts of bounded length.
    let length = (payload.len() as u32).to_be_bytes();
    [&[flags], length.as_slice(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_vectors_of_rfc_4648() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded.as_bytes());
        }
        assert_eq!(base64(b"\xfb\xff\xfe\x00"), b"+//+AA==");
    }

    #[test]
    fn grpc_messages_are_printable_ascii() {
        assert_eq!(grpc_message("key \"é\" 100%\n"), "key \"%C3%A9\" 100%25%0A");
    }

    #[test]
    fn an_envelope_has_its_length_in_network_order() {
        assert_eq!(envelope(2, b"abc"), b"\x02\0\0\0\x03abc");
    }
}
