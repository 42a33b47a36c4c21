//! Between a message on the wire and its protobuf bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};

use super::error::{Code, RpcError};

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Protobuf's binary format.
    Proto,
    /// Protobuf's JSON mapping.
    Json,
}

impl Codec {
    /// The name in content types and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Proto => "proto",
            Self::Json => "json",
        }
    }

    /// Turns a received message into protobuf bytes.
    ///
    /// # Errors
    /// `invalid_argument` when the message is not valid for its type.
    pub fn to_proto(self, kind: &MessageDescriptor, received: &Bytes) -> Result<Bytes, RpcError> {
        let bad = |error: &dyn std::fmt::Display| {
            RpcError::new(Code::InvalidArgument, format!("unmarshal message: {error}"))
        };
        match self {
            Self::Proto => {
                DynamicMessage::decode(kind.clone(), received.clone()).map_err(|e| bad(&e))?;
                Ok(received.clone())
            }
            Self::Json => {
                let options = DeserializeOptions::new().deny_unknown_fields(false);
                let mut json = serde_json::Deserializer::from_slice(received);
                let message =
                    DynamicMessage::deserialize_with_options(kind.clone(), &mut json, &options)
                        .map_err(|e| bad(&e))?;
                json.end().map_err(|e| bad(&e))?;
                Ok(message.encode_to_vec().into())
            }
        }
    }

    /// Writes a message, given as protobuf bytes, for the wire.
    ///
    /// # Errors
    /// `internal` when the bytes are not a message of this type.
    pub fn from_proto(self, kind: &MessageDescriptor, proto: Bytes) -> Result<Bytes, RpcError> {
        match self {
            Self::Proto => Ok(proto),
            Self::Json => {
                let bad = |error: &dyn std::fmt::Display| {
                    RpcError::new(Code::Internal, format!("marshal message: {error}"))
                };
                let message = DynamicMessage::decode(kind.clone(), proto).map_err(|e| bad(&e))?;
                let json = serde_json::to_vec(&message).map_err(|e| bad(&e))?;
                Ok(json.into())
            }
        }
    }
}

/// Base64 as in binary headers and Connect error details.
#[must_use]
pub fn base64_unpadded(data: &[u8]) -> String {
    STANDARD_NO_PAD.encode(data)
}

/// Base64 as in protobuf's JSON mapping.
#[must_use]
pub fn base64_padded(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Reads what [`base64_padded`] wrote.
#[must_use]
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::AttachDocumentRequest;
    use crate::protocol::methods;

    fn attach_request() -> MessageDescriptor {
        methods::find("yorkie.v1.YorkieService", "AttachDocument")
            .expect("known")
            .input()
    }

    fn decode(json: &str) -> Result<AttachDocumentRequest, RpcError> {
        let proto = Codec::Json.to_proto(&attach_request(), &Bytes::from(json.to_owned()))?;
        Ok(AttachDocumentRequest::decode(proto).expect("valid protobuf"))
    }

    #[test]
    fn json_takes_both_spellings_strings_for_longs_and_unknown_fields() {
        for json in [
            r#"{"clientId":"a","changePack":{"documentKey":"d","checkpoint":{"serverSeq":"9007199254740993"}},"later":[1]}"#,
            r#"{"client_id":"a","change_pack":{"document_key":"d","checkpoint":{"server_seq":9007199254740993}}}"#,
        ] {
            let request = decode(json).expect("valid");
            let pack = request.change_pack.expect("a pack");
            assert_eq!(request.client_id, "a");
            assert_eq!(pack.document_key, "d");
            assert_eq!(
                pack.checkpoint.expect("given").server_seq,
                9_007_199_254_740_993
            );
        }
    }

    #[test]
    fn json_longs_are_written_as_strings() {
        let pack = r#"{"changePack":{"checkpoint":{"serverSeq":"5","clientSeq":2}}}"#;
        let kind = attach_request();
        let proto = Codec::Json
            .to_proto(&kind, &Bytes::from_static(pack.as_bytes()))
            .expect("ok");
        let json = Codec::Json.from_proto(&kind, proto).expect("ok");
        assert_eq!(json, pack.as_bytes());
    }

    #[test]
    fn garbage_is_an_invalid_argument() {
        for json in [
            "",
            "{",
            "[]",
            "null",
            r#"{"clientId":1}"#,
            r#"{"clientId":"a"} x"#,
        ] {
            let error = decode(json).expect_err(json);
            assert_eq!(error.code, Code::InvalidArgument, "{json}");
        }
        let error = Codec::Proto
            .to_proto(&attach_request(), &Bytes::from_static(&[0x0a, 0x20, 1]))
            .expect_err("truncated");
        assert_eq!(error.code, Code::InvalidArgument);
    }
}
