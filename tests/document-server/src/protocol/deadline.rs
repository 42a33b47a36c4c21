//! How long a caller is ready to wait.

use std::time::Duration;

use http::HeaderMap;

use super::content::Protocol;
use super::error::{Code, RpcError};

/// The time limit in a request's headers, if there is one.
///
/// # Errors
/// `invalid_argument` when the header is not a time limit.
pub fn from_headers(headers: &HeaderMap, protocol: Protocol) -> Result<Option<Duration>, RpcError> {
    let (name, parse): (_, fn(&str) -> Option<Duration>) = match protocol {
        Protocol::ConnectUnary | Protocol::ConnectStream => ("connect-timeout-ms", parse_connect),
        Protocol::Grpc | Protocol::GrpcWeb => ("grpc-timeout", parse_grpc),
    };
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(parse) {
        Some(limit) => Ok(Some(limit)),
        None => Err(RpcError::new(
            Code::InvalidArgument,
            format!("protocol error: invalid {name}: {value:?}"),
        )),
    }
}

/// At most ten digits, in milliseconds.
fn parse_connect(text: &str) -> Option<Duration> {
    digits(text, 10).map(Duration::from_millis)
}

/// At most eight digits and a unit.
fn parse_grpc(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = digits(number, 8)?;
    Some(match unit {
        "H" => Duration::from_hours(number),
        "M" => Duration::from_mins(number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn digits(text: &str, most: usize) -> Option<u64> {
    let valid = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_their_units() {
        assert_eq!(parse_connect("1500"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_grpc("2S"), Some(Duration::from_secs(2)));
        assert_eq!(
            parse_grpc("99999999H"),
            Some(Duration::from_hours(99_999_999))
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "-1", "+1", "1.5", "12345678901"] {
            assert_eq!(parse_connect(text), None, "{text}");
        }
        for text in ["", "S", "1", "1s", "123456789S", "1é"] {
            assert_eq!(parse_grpc(text), None, "{text}");
        }
    }
}
