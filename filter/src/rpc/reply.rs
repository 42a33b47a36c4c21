//! What a refusal looks like in each protocol.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::encode;
use super::protocol::{Codec, Protocol};

/// Longest message, in characters: it may travel in a header.
const MAX_MESSAGE: usize = 300;

/// A local reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers; the content type among them, unless there is no body.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body, complete.
    pub body: Vec<u8>,
    /// gRPC status; for a caller that speaks gRPC.
    pub grpc_status: u8,
    /// Response code details for the access log.
    pub details: &'static str,
}

/// The statuses that the filter gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request will never be right: not to be sent again.
    InvalidArgument,
    /// The caller may not do this.
    PermissionDenied,
    /// Nobody here can read this.
    Unimplemented,
    /// A passing condition: to be sent again.
    Unavailable,
}

impl Code {
    /// Connect's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::PermissionDenied => "permission_denied",
            Self::Unimplemented => "unimplemented",
            Self::Unavailable => "unavailable",
        }
    }

    /// gRPC's number.
    #[must_use]
    pub fn grpc_status(self) -> u8 {
        match self {
            Self::InvalidArgument => 3,
            Self::PermissionDenied => 7,
            Self::Unimplemented => 12,
            Self::Unavailable => 14,
        }
    }

    /// The HTTP status that Connect maps the code to.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::PermissionDenied => 403,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
        }
    }
}

impl Reply {
    /// The refusal of a request that speaks `protocol`.
    #[must_use]
    pub fn refusal(protocol: Protocol, code: Code, message: &str, details: &'static str) -> Self {
        let message = &bounded(message);
        let (status, headers, body) = match protocol {
            Protocol::ConnectUnary => (
                code.http_status(),
                content_type("application/json"),
                connect_error(code, message).to_string().into_bytes(),
            ),
            Protocol::ConnectStream(codec) => {
                let end = json!({ "error": connect_error(code, message) });
                let content = match codec {
                    Codec::Json => "application/connect+json",
                    Codec::Proto => "application/connect+proto",
                };
                let body = encode::envelope(END_OF_STREAM, end.to_string().as_bytes());
                (200, content_type(content), body)
            }
            // Headers of our own instead of a body that Envoy makes a message of: behind Envoy's gRPC-Web filter a
            // request looks like gRPC here but not to Envoy's local reply, which would lose the status.
            Protocol::Grpc => {
                let mut headers = content_type("application/grpc");
                headers.push(("grpc-status", code.grpc_status().to_string().into()));
                headers.push(("grpc-message", encode::grpc_message(message).into()));
                (200, headers, Vec::new())
            }
            Protocol::GrpcWeb { codec, text } => {
                let trailers = format!(
                    "grpc-status: {}\r\ngrpc-message: {}\r\n",
                    code.grpc_status(),
                    encode::grpc_message(message)
                );
                let body = encode::envelope(TRAILERS, trailers.as_bytes());
                let content = match (text, codec) {
                    (false, Codec::Proto) => "application/grpc-web+proto",
                    (false, Codec::Json) => "application/grpc-web+json",
                    (true, Codec::Proto) => "application/grpc-web-text+proto",
                    (true, Codec::Json) => "application/grpc-web-text+json",
                };
                let body = if text { encode::base64(&body) } else { body };
                (200, content_type(content), body)
            }
            Protocol::Http => {
                let mut headers = content_type("text/plain; charset=utf-8");
                // The text quotes the caller: no browser may take it for a page.
                headers.push(("x-content-type-options", "nosniff".into()));
                (
                    code.http_status(),
                    headers,
                    format!("{message}\n").into_bytes(),
                )
            }
        };
        Self {
            status,
            headers,
            body,
            grpc_status: code.grpc_status(),
            details,
        }
    }
}

/// Connect's flag of the envelope that ends a stream.
const END_OF_STREAM: u8 = 0x02;
/// gRPC-Web's flag of the envelope that holds the trailers.
const TRAILERS: u8 = 0x80;

fn content_type(value: &'static str) -> Vec<(&'static str, Cow<'static, str>)> {
    vec![("content-type", value.into())]
}

fn connect_error(code: Code, message: &str) -> Value {
    json!({ "code": code.name(), "message": message })
}

/// One line of at most [`MAX_MESSAGE`] characters.
fn bounded(message: &str) -> String {
    let mut line: String = message
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(MAX_MESSAGE)
        .collect();
    if message.chars().nth(MAX_MESSAGE).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(protocol: Protocol) -> Reply {
        Reply::refusal(protocol, Code::InvalidArgument, "key \"é\" 5%", "d")
    }

    fn headers(reply: &Reply) -> Vec<(&str, &str)> {
        let pairs = reply.headers.iter();
        pairs.map(|(name, value)| (*name, value.as_ref())).collect()
    }

    fn content(reply: &Reply) -> &str {
        headers(reply)[0].1
    }

    #[test]
    fn connect_unary_gets_a_status_and_json() {
        let reply = refusal(Protocol::ConnectUnary);
        assert_eq!(reply.status, 400);
        assert_eq!(content(&reply), "application/json");
        assert_eq!(
            String::from_utf8(reply.body).unwrap(),
            r#"{"code":"invalid_argument","message":"key \"é\" 5%"}"#
        );
    }

    #[test]
    fn a_connect_stream_ends_with_its_error() {
        let reply = refusal(Protocol::ConnectStream(Codec::Proto));
        assert_eq!(reply.status, 200);
        assert_eq!(content(&reply), "application/connect+proto");
        let json = r#"{"error":{"code":"invalid_argument","message":"key \"é\" 5%"}}"#;
        assert_eq!(&reply.body[..5], [2, 0, 0, 0, json.len() as u8]);
        assert_eq!(&reply.body[5..], json.as_bytes());
    }

    #[test]
    fn grpc_gets_trailers_only() {
        let reply = refusal(Protocol::Grpc);
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(
            headers(&reply),
            [
                ("content-type", "application/grpc"),
                ("grpc-status", "3"),
                ("grpc-message", "key \"%C3%A9\" 5%25"),
            ]
        );
    }

    #[test]
    fn grpc_web_gets_trailers_in_the_body() {
        let codec = Codec::Proto;
        let reply = refusal(Protocol::GrpcWeb { codec, text: false });
        let trailers = "grpc-status: 3\r\ngrpc-message: key \"%C3%A9\" 5%25\r\n";
        assert_eq!(reply.status, 200);
        assert_eq!(content(&reply), "application/grpc-web+proto");
        assert_eq!(reply.body, encode::envelope(0x80, trailers.as_bytes()));

        let text = refusal(Protocol::GrpcWeb { codec, text: true });
        assert_eq!(content(&text), "application/grpc-web-text+proto");
        assert_eq!(text.body, encode::base64(&reply.body));
    }

    #[test]
    fn plain_http_gets_a_line_of_text() {
        let reply = Reply::refusal(Protocol::Http, Code::Unavailable, "not yet", "d");
        assert_eq!(reply.status, 503);
        assert_eq!(content(&reply), "text/plain; charset=utf-8");
        assert_eq!(reply.body, b"not yet\n");
    }

    #[test]
    fn a_long_message_is_cut() {
        let reply = Reply::refusal(Protocol::Http, Code::Unavailable, &"é".repeat(9999), "d");
        let text = String::from_utf8(reply.body).unwrap();
        assert_eq!(text, "é".repeat(300) + "...\n");
    }

    proptest! {
        #[test]
        fn no_message_breaks_a_header_or_a_line(message: String) {
            for protocol in [
                Protocol::Grpc,
                Protocol::Http,
                Protocol::ConnectUnary,
                Protocol::GrpcWeb { codec: Codec::Json, text: false },
            ] {
                let reply = Reply::refusal(protocol, Code::InvalidArgument, &message, "d");
                for (_, value) in &reply.headers {
                    prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                }
                prop_assert!(reply.body.split(|&byte| byte == b'\n').count() <= 3);
            }
        }
    }
}
