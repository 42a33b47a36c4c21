//! Writing answers in gRPC.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Frame;

use super::codec::base64_unpadded;
use super::error::RpcError;

/// The names of the trailers, as HTTP/1.1 announces them.
pub(crate) const TRAILERS: &str = "grpc-status, grpc-message, grpc-status-details-bin";

/// The trailers that say how a call ended.
pub(crate) fn trailers(outcome: &Result<(), RpcError>) -> HeaderMap {
    let mut map = HeaderMap::new();
    let Err(error) = outcome else {
        map.insert("grpc-status", HeaderValue::from_static("0"));
        return map;
    };
    map.insert("grpc-status", HeaderValue::from(error.code as u16));
    let mut text = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            map.insert(HeaderName::from_static(name), value);
        }
    };
    text("grpc-message", percent_encode(&error.message));
    if let Some(details) = error.to_grpc_details() {
        text("grpc-status-details-bin", base64_unpadded(&details));
    }
    map
}

/// The end of a gRPC body.
pub(crate) fn end_of_stream(outcome: &Result<(), RpcError>) -> Frame<Bytes> {
    Frame::trailers(trailers(outcome))
}

/// As the gRPC specification wants `grpc-message`: everything but printable
/// ASCII, and `%`, becomes `%XX`.
fn percent_encode(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut encoded, byte| {
            if (b' '..=b'~').contains(&byte) && byte != b'%' {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
            encoded
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::error::Code;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encode("a b%é\n"), "a b%25%C3%A9%0A");
    }

    #[test]
    fn the_status_is_a_number() {
        let map = trailers(&Err(RpcError::new(Code::Unauthenticated, "who?")));
        assert_eq!(map["grpc-status"], "16");
        assert_eq!(map["grpc-message"], "who?");
        assert_eq!(trailers(&Ok(()))["grpc-status"], "0");
    }
}
