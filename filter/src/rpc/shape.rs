//! How to read the message of a call, by its headers.

use super::protocol::{Codec, Protocol};
use crate::body::{Compression, Format, Framing, Shape};
use crate::headers::{RequestHeaders, values};

/// The shape of the message in a request's body; `None` when its content type
/// says nothing about one.
#[must_use]
pub fn of_request(headers: &RequestHeaders<'_>) -> Option<Shape> {
    let shape = |framing, format, encoding| Shape {
        framing,
        format,
        compression: Compression::of(headers.values(encoding).first_trimmed()),
    };
    of(Protocol::of(headers), headers.content_type, shape)
}

/// The shape of the message in a response's body, if the response, whose
/// headers are `bytes`, is a successful one as far as they can tell.
#[must_use]
pub fn of_response(bytes: &[u8]) -> Option<Shape> {
    if values(bytes, ":status").first_trimmed() != b"200" {
        return None;
    }
    let content_type = values(bytes, "content-type").first_trimmed();
    let headers = RequestHeaders {
        content_type,
        ..RequestHeaders::default()
    };
    let shape = |framing, format, encoding: &str| Shape {
        framing,
        format,
        compression: Compression::of(values(bytes, encoding).first_trimmed()),
    };
    of(Protocol::of(&headers), content_type, shape)
}

fn of(
    protocol: Protocol,
    content_type: &[u8],
    shape: impl Fn(Framing, Format, &'static str) -> Shape,
) -> Option<Shape> {
    let format = |codec| match codec {
        Codec::Proto => Format::Proto,
        Codec::Json => Format::Json,
    };
    match protocol {
        Protocol::ConnectUnary => {
            let format = unary_format(content_type)?;
            Some(shape(Framing::Bare, format, "content-encoding"))
        }
        Protocol::ConnectStream(codec) => {
            let encoding = "connect-content-encoding";
            Some(shape(Framing::Enveloped, format(codec), encoding))
        }
        Protocol::Grpc => {
            let is_json = content_type.ends_with(b"+json");
            let codec = if is_json { Codec::Json } else { Codec::Proto };
            Some(shape(Framing::Enveloped, format(codec), "grpc-encoding"))
        }
        Protocol::GrpcWeb { codec, text } => {
            let framing = if text {
                Framing::EnvelopedBase64
            } else {
                Framing::Enveloped
            };
            Some(shape(framing, format(codec), "grpc-encoding"))
        }
        Protocol::Http => None,
    }
}

fn unary_format(content_type: &[u8]) -> Option<Format> {
    let essence = content_type.split(|&byte| byte == b';').next()?;
    let essence = essence.trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        Some(Format::Json)
    } else if essence.eq_ignore_ascii_case(b"application/proto") {
        Some(Format::Proto)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::serialize;

    fn request(pairs: &[(&str, &str)]) -> Option<Shape> {
        let pairs = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        let bytes = serialize(pairs);
        of_request(&RequestHeaders::read(&bytes).unwrap())
    }

    fn like(framing: Framing, format: Format, compression: Compression) -> Shape {
        Shape {
            framing,
            format,
            compression,
        }
    }

    #[test]
    fn content_type_and_encoding_tell_the_shape() {
        use {Compression as C, Format as F, Framing as X};
        for (content_type, encoding, shape) in [
            (
                "application/json; charset=utf-8",
                "content-encoding",
                Some(like(X::Bare, F::Json, C::Gzip)),
            ),
            (
                "application/proto",
                "grpc-encoding",
                Some(like(X::Bare, F::Proto, C::Identity)),
            ),
            (
                "application/connect+json",
                "connect-content-encoding",
                Some(like(X::Enveloped, F::Json, C::Gzip)),
            ),
            (
                "application/grpc",
                "grpc-encoding",
                Some(like(X::Enveloped, F::Proto, C::Gzip)),
            ),
            (
                "application/grpc+json",
                "content-encoding",
                Some(like(X::Enveloped, F::Json, C::Identity)),
            ),
            (
                "application/grpc-web-text+proto",
                "grpc-encoding",
                Some(like(X::EnvelopedBase64, F::Proto, C::Gzip)),
            ),
            ("text/plain", "content-encoding", None),
        ] {
            let shown = request(&[("content-type", content_type), (encoding, "gzip")]);
            assert_eq!(shown, shape, "{content_type}");
        }
    }

    #[test]
    fn only_a_successful_response_has_a_message() {
        let response = |status: &[u8]| {
            let pairs = [
                (b":status".as_slice(), status),
                (b"content-type", b"application/proto"),
            ];
            of_response(&serialize(pairs.into_iter()))
        };
        assert!(response(b"200").is_some());
        assert_eq!(response(b"400"), None);
    }
}
