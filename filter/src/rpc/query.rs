//! What a request says in its query.

use std::borrow::Cow;

use sharding::percent_decode;

use crate::body::{Compression, Format, Framing, Shape};
use crate::refusal::Refusal;

/// Every value of a query parameter of a `:path`, decoded as forms are: `+` is
/// a blank.
#[must_use]
pub fn values(path: &[u8], name: &str) -> Vec<Vec<u8>> {
    let query = path.splitn(2, |&byte| byte == b'?').nth(1);
    let query = query.unwrap_or_default();
    let query = query.split(|&byte| byte == b'#').next().unwrap_or_default();
    let mut values = Vec::new();
    for field in query.split(|&byte| byte == b'&') {
        let mut halves = field.splitn(2, |&byte| byte == b'=');
        let is_it = halves.next().map(decode).as_deref() == Some(name.as_bytes());
        if is_it {
            values.push(decode(halves.next().unwrap_or_default()));
        }
    }
    values
}

fn decode(text: &[u8]) -> Vec<u8> {
    let text: Cow<'_, [u8]> = if text.contains(&b'+') {
        let blanks = text
            .iter()
            .map(|&byte| if byte == b'+' { b' ' } else { byte });
        Cow::Owned(blanks.collect())
    } else {
        Cow::Borrowed(text)
    };
    percent_decode(&text)
}

/// The message of a Connect GET request (Connect protocol, "Unary-Get-Request"),
/// and how to read it.
///
/// # Errors
/// When the query has no message that can be read.
pub fn message(path: &[u8]) -> Result<(Shape, Vec<u8>), Refusal> {
    let only = |name: &str| match values(path, name).as_slice() {
        [] => Ok(None),
        [value] => Ok(Some(value.clone())),
        _ => Err(Refusal::Query("a parameter is given twice")),
    };
    let format = match only("encoding")?.as_deref() {
        Some(b"json") => Format::Json,
        Some(b"proto") => Format::Proto,
        _ => return Err(Refusal::Query("expected encoding=json or encoding=proto")),
    };
    let compression = Compression::of(&only("compression")?.unwrap_or_default());
    let text = only("message")?.ok_or(Refusal::Query("expected a parameter message"))?;
    let message = match only("base64")?.as_deref() {
        Some(b"1") => from_base64(&text).ok_or(Refusal::Query("it is not base64"))?,
        _ => text,
    };
    let shape = Shape {
        framing: Framing::Bare,
        format,
        compression,
    };
    Ok((shape, message))
}

/// Decodes base64 in the alphabet for URLs, padded or not (RFC 4648, 5).
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"="));
    let digits = digits.unwrap_or(text);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            bits = bits << 6 | u32::from(from_digit(digit)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, whole @ ..] = bits.to_be_bytes();
        bytes.extend(whole.into_iter().take(group.len() * 6 / 8));
    }
    Some(bytes)
}

fn from_digit(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        // Both alphabets: encoders that take the wrong one are understood by servers too.
        b'-' | b'+' => Some(62),
        b'_' | b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_decoded_as_forms_are() {
        let path = b"/a?x=1&%78=b%26c+d&y&x=#x=2";
        assert_eq!(
            values(path, "x"),
            [b"1".to_vec(), b"b&c d".to_vec(), b"".to_vec()]
        );
        assert_eq!(values(path, "y"), [b"".to_vec()]);
        assert!(values(b"/a", "x").is_empty());
    }

    #[test]
    fn a_connect_get_has_its_message_in_the_query() {
        let (shape, bytes) = message(b"/s/M?connect=v1&encoding=json&message=%7B%7D").unwrap();
        assert_eq!((shape.format, bytes.as_slice()), (Format::Json, &b"{}"[..]));
        let (_, bytes) = message(b"/?encoding=proto&base64=1&message=-_8").unwrap();
        assert_eq!(bytes, b"\xfb\xff");
        let (_, bytes) = message(b"/?encoding=proto&base64=1&message=Zm8%3D").unwrap();
        assert_eq!(bytes, b"fo");
    }

    #[test]
    fn a_query_without_a_message_is_refused() {
        for path in [
            "/?message=x",
            "/?encoding=xml&message=x",
            "/?encoding=json",
            "/?encoding=json&message=x&message=y",
            "/?encoding=json&base64=1&message=~",
            "/?encoding=json&base64=1&message=AAAAA",
        ] {
            assert!(
                matches!(message(path.as_bytes()), Err(Refusal::Query(_))),
                "{path}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(path in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = message(&path);
            let _ = message(&[b"/?encoding=json&base64=1&message=", path.as_slice()].concat());
        }
    }
}
