//! Error codes and the one error type of all protocols.

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};

/// The status codes that Connect and gRPC share; the value is gRPC's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Code {
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// The name in Connect errors, for example `failed_precondition`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// The code with this Connect name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        (1..=16)
            .filter_map(Self::from_number)
            .find(|code| code.name() == name)
    }

    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Canceled,
            2 => Self::Unknown,
            3 => Self::InvalidArgument,
            4 => Self::DeadlineExceeded,
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            7 => Self::PermissionDenied,
            8 => Self::ResourceExhausted,
            9 => Self::FailedPrecondition,
            10 => Self::Aborted,
            11 => Self::OutOfRange,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            15 => Self::DataLoss,
            16 => Self::Unauthenticated,
            _ => return None,
        })
    }

    /// The HTTP status of a Connect unary error.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::Canceled => 499,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }
}

/// Why a call failed, before it is written in a caller's protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct RpcError {
    /// The status code.
    pub code: Code,
    /// Text for people.
    pub message: String,
    /// Yorkie's own code (`ErrConflictOnUpdate` ...), which SDKs act on.
    pub reason: Option<&'static str>,
}

impl RpcError {
    /// An error of the protocol itself, without a code of Yorkie's.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: None,
        }
    }

    /// The caller's time limit ran out.
    #[must_use]
    pub fn deadline_exceeded() -> Self {
        Self::new(Code::DeadlineExceeded, "context deadline exceeded")
    }

    /// Says what was being done when the error came up.
    #[must_use]
    pub fn while_doing(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The error as Connect writes it: the body of a unary error and the
    /// `error` member of an end-of-stream message.
    #[must_use]
    pub fn to_connect_json(&self) -> Value {
        let mut error = json!({"code": self.code.name(), "message": self.message});
        if let Some(info) = self.info() {
            error["details"] = json!([{
                "type": ERROR_INFO_TYPE,
                "value": crate::protocol::codec::base64_unpadded(&info.encode_to_vec()),
                "debug": {"reason": info.reason, "metadata": info.metadata},
            }]);
        }
        error
    }

    /// The `google.rpc.Status` of the trailer `grpc-status-details-bin`, if
    /// there is a detail to carry.
    #[must_use]
    pub fn to_grpc_details(&self) -> Option<Vec<u8>> {
        let info = self.info()?;
        let status = Status {
            code: self.code as i32,
            message: self.message.clone(),
            details: vec![Any {
                type_url: format!("type.googleapis.com/{ERROR_INFO_TYPE}"),
                value: info.encode_to_vec(),
            }],
        };
        Some(status.encode_to_vec())
    }

    fn info(&self) -> Option<ErrorInfo> {
        let reason = self.reason?;
        Some(ErrorInfo {
            reason: self.code.name().to_owned(),
            domain: String::new(),
            metadata: BTreeMap::from([("code".to_owned(), reason.to_owned())]),
        })
    }
}

const ERROR_INFO_TYPE: &str = "google.rpc.ErrorInfo";

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for number in 1..=16 {
            let code = Code::from_number(number).expect("all 16 codes exist");
            assert_eq!(code as u8, number);
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
        assert_eq!(Code::from_name("ok"), None);
    }

    #[test]
    fn yorkies_own_code_travels_as_error_info() {
        let error = RpcError {
            reason: Some("ErrConflictOnUpdate"),
            ..RpcError::new(Code::FailedPrecondition, "conflict on update")
        };
        let json = error.to_connect_json();
        assert_eq!(json["code"], "failed_precondition");
        assert_eq!(json["details"][0]["type"], "google.rpc.ErrorInfo");
        assert_eq!(
            json["details"][0]["debug"]["metadata"]["code"],
            "ErrConflictOnUpdate"
        );

        let status = Status::decode(error.to_grpc_details().expect("details").as_slice())
            .expect("a valid status");
        assert_eq!(status.code, 9);
        let info = ErrorInfo::decode(status.details[0].value.as_slice()).expect("a valid info");
        assert_eq!(info.metadata["code"], "ErrConflictOnUpdate");
    }
}
