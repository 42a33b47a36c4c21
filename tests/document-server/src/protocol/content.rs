//! Which protocol and codec a request uses, from its content type.

use super::codec::Codec;

/// A protocol, and for Connect the shape of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Connect, one bare message each way.
    ConnectUnary,
    /// Connect, enveloped messages.
    ConnectStream,
    /// gRPC.
    Grpc,
    /// gRPC-Web, binary.
    GrpcWeb,
}

impl Protocol {
    /// The name in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectUnary | Self::ConnectStream => "connect",
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc-web",
        }
    }

    /// Whether a method of this kind can be called with this protocol.
    #[must_use]
    pub fn carries(self, server_streaming: bool) -> bool {
        match self {
            Self::ConnectUnary => !server_streaming,
            Self::ConnectStream => server_streaming,
            Self::Grpc | Self::GrpcWeb => true,
        }
    }
}

/// A content type that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The protocol.
    pub protocol: Protocol,
    /// The codec.
    pub codec: Codec,
    /// The type without parameters, to answer with.
    pub name: &'static str,
}

/// Every content type that is understood.
const KNOWN: [(&str, Protocol, Codec); 10] = [
    ("application/json", Protocol::ConnectUnary, Codec::Json),
    ("application/proto", Protocol::ConnectUnary, Codec::Proto),
    (
        "application/connect+json",
        Protocol::ConnectStream,
        Codec::Json,
    ),
    (
        "application/connect+proto",
        Protocol::ConnectStream,
        Codec::Proto,
    ),
    ("application/grpc", Protocol::Grpc, Codec::Proto),
    ("application/grpc+proto", Protocol::Grpc, Codec::Proto),
    ("application/grpc+json", Protocol::Grpc, Codec::Json),
    ("application/grpc-web", Protocol::GrpcWeb, Codec::Proto),
    (
        "application/grpc-web+proto",
        Protocol::GrpcWeb,
        Codec::Proto,
    ),
    ("application/grpc-web+json", Protocol::GrpcWeb, Codec::Json),
];

impl Content {
    /// Reads a `content-type` header; parameters are ignored.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let name = header.split(';').next().unwrap_or_default().trim();
        KNOWN
            .into_iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name))
            .map(|(name, protocol, codec)| Self {
                protocol,
                codec,
                name,
            })
    }

    /// The `Accept-Post` header for a method that was called in another way.
    #[must_use]
    pub fn accepted(server_streaming: bool) -> String {
        let names: Vec<&str> = KNOWN
            .into_iter()
            .filter(|(_, protocol, _)| protocol.carries(server_streaming))
            .map(|(name, ..)| name)
            .collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let content = Content::parse("Application/JSON; charset=utf-8").expect("known");
        assert_eq!(
            (content.protocol, content.codec),
            (Protocol::ConnectUnary, Codec::Json)
        );
        let content = Content::parse("application/grpc").expect("known");
        assert_eq!(
            (content.protocol, content.codec),
            (Protocol::Grpc, Codec::Proto)
        );
    }

    #[test]
    fn look_alikes_are_unknown() {
        for header in [
            "",
            "text/plain",
            "application/grpc-web-text",
            "application/grpc+",
            "*/*",
        ] {
            assert_eq!(Content::parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_stream_is_not_offered_bare_bodies() {
        assert!(!Content::accepted(true).contains("application/json"));
        assert!(!Content::accepted(false).contains("application/connect"));
    }
}
