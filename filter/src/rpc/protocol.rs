//! Which protocol a request speaks, by its method and content type.

use crate::headers::RequestHeaders;

/// A protocol of remote calls, as far as its errors look different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Connect, one message each way: an HTTP status and JSON.
    ConnectUnary,
    /// Connect, streaming: an envelope that ends the stream.
    ConnectStream(Codec),
    /// gRPC: trailers only.
    Grpc,
    /// gRPC-Web: trailers in the body, in base64 if `text`.
    GrpcWeb {
        /// How messages are encoded.
        codec: Codec,
        /// Whether the body is base64.
        text: bool,
    },
    /// Anything else: an HTTP status and text.
    Http,
}

/// How the messages of a call are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Protobuf.
    Proto,
    /// JSON.
    Json,
}

impl Protocol {
    /// The protocol of a request.
    #[must_use]
    pub fn of(request: &RequestHeaders<'_>) -> Self {
        // Envoy makes a gRPC reply for exactly these two forms, without looking at case or parameters.
        if let Some(rest) = request.content_type.strip_prefix(b"application/grpc")
            && (rest.is_empty() || rest.starts_with(b"+"))
        {
            return Self::Grpc;
        }
        let essence = request.content_type.split(|&byte| byte == b';').next();
        let essence = essence
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase();
        if let Some(rest) = essence.strip_prefix(b"application/grpc-web") {
            return Self::GrpcWeb {
                codec: Codec::of(rest, Codec::Proto),
                text: rest.starts_with(b"-text"),
            };
        }
        if let Some(codec) = essence.strip_prefix(b"application/connect+") {
            return Self::ConnectStream(Codec::of(codec, Codec::Json));
        }
        let is_unary = matches!(
            essence.as_slice(),
            b"application/json" | b"application/proto"
        );
        if is_unary || request.has_connect_version || is_connect_get(request) {
            return Self::ConnectUnary;
        }
        Self::Http
    }
}

impl Codec {
    fn of(suffix: &[u8], otherwise: Self) -> Self {
        if suffix.ends_with(b"json") {
            Self::Json
        } else if suffix.ends_with(b"proto") {
            Self::Proto
        } else {
            otherwise
        }
    }
}

/// Connect's cacheable calls are GET requests with `connect=v1` in the query.
fn is_connect_get(request: &RequestHeaders<'_>) -> bool {
    let query = request.path.splitn(2, |&byte| byte == b'?').nth(1);
    request.method == b"GET"
        && query.is_some_and(|query| {
            query
                .split(|&byte| byte == b'&')
                .any(|field| field == b"connect=v1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(content_type: &str) -> Protocol {
        Protocol::of(&RequestHeaders {
            method: b"POST",
            path: b"/yorkie.v1.YorkieService/Watch",
            content_type: content_type.as_bytes(),
            ..RequestHeaders::default()
        })
    }

    fn web(codec: Codec, text: bool) -> Protocol {
        Protocol::GrpcWeb { codec, text }
    }

    #[test]
    fn the_content_type_tells_the_protocol() {
        for (content_type, protocol) in [
            ("application/json", Protocol::ConnectUnary),
            ("application/JSON; charset=utf-8", Protocol::ConnectUnary),
            ("application/proto", Protocol::ConnectUnary),
            (
                "application/connect+json",
                Protocol::ConnectStream(Codec::Json),
            ),
            (
                "application/connect+proto",
                Protocol::ConnectStream(Codec::Proto),
            ),
            ("application/grpc", Protocol::Grpc),
            ("application/grpc+proto", Protocol::Grpc),
            ("application/grpc+json", Protocol::Grpc),
            ("application/grpc-web", web(Codec::Proto, false)),
            ("application/grpc-web+json", web(Codec::Json, false)),
            ("application/grpc-web-text", web(Codec::Proto, true)),
            ("application/grpc-web-text+proto", web(Codec::Proto, true)),
            ("application/grpc; x=y", Protocol::Http),
            ("application/grpcx", Protocol::Http),
            ("text/html", Protocol::Http),
            ("", Protocol::Http),
        ] {
            assert_eq!(post(content_type), protocol, "{content_type}");
        }
    }

    #[test]
    fn a_get_with_connect_v1_in_the_query_is_connect() {
        let get = |path: &'static [u8]| {
            Protocol::of(&RequestHeaders {
                method: b"GET",
                path,
                ..RequestHeaders::default()
            })
        };
        assert_eq!(
            get(b"/s/M?encoding=json&connect=v1"),
            Protocol::ConnectUnary
        );
        assert_eq!(get(b"/s/M?xconnect=v1"), Protocol::Http);
        assert_eq!(get(b"/s/M"), Protocol::Http);
    }

    #[test]
    fn the_connect_version_header_is_enough() {
        let request = RequestHeaders {
            has_connect_version: true,
            ..RequestHeaders::default()
        };
        assert_eq!(Protocol::of(&request), Protocol::ConnectUnary);
    }
}
