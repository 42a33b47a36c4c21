//! Refusals as their callers understand them.

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use http::StatusCode;
use serde_json::Value;

use crate::Reply;

/// Connect's names, gRPC's numbers and HTTP's statuses of what a router
/// answers by itself.
const CODES: [(&str, &str, StatusCode); 4] = [
    ("invalid_argument", "3", StatusCode::BAD_REQUEST),
    ("permission_denied", "7", StatusCode::FORBIDDEN),
    ("unimplemented", "12", StatusCode::NOT_IMPLEMENTED),
    ("unavailable", "14", StatusCode::SERVICE_UNAVAILABLE),
];

/// Flag of gRPC-Web's envelope of trailers, and of Connect's end of a stream.
const WEB_TRAILERS: u8 = 0x80;
const END_OF_STREAM: u8 = 2;

/// What a router says when it does not route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Connect's name of the code, whatever the protocol.
    pub code: &'static str,
    /// Why.
    pub message: String,
}

impl Refusal {
    /// Reads the reply to a request of that content type. Everything has to be
    /// as the protocol has it: a caller would not understand it else.
    pub fn read(reply: &Reply, content_type: &str) -> Result<Self> {
        let read = match content_type {
            "application/json" | "application/proto" => Self::connect_unary(reply),
            "application/connect+json" | "application/connect+proto" => {
                Self::connect_stream(reply, content_type)
            }
            "application/grpc" | "application/grpc+proto" => Self::grpc(reply),
            "application/grpc-web+proto" => Self::grpc_web(reply, content_type, &reply.body),
            "application/grpc-web-text" => {
                let body = BASE64_STANDARD.decode(&reply.body)?;
                Self::grpc_web(reply, "application/grpc-web-text+proto", &body)
            }
            _ => Self::plain(reply),
        };
        read.with_context(|| format!("no refusal of {content_type:?}: {reply:?}"))
    }

    fn connect_unary(reply: &Reply) -> Result<Self> {
        ensure!(reply.header("content-type")? == "application/json");
        let refusal = Self::connect_error(&serde_json::from_slice(&reply.body)?)?;
        ensure!(refusal.status() == reply.status);
        Ok(refusal)
    }

    fn connect_stream(reply: &Reply, content_type: &str) -> Result<Self> {
        ensure!(reply.status == StatusCode::OK);
        ensure!(reply.header("content-type")? == content_type);
        let end: Value = serde_json::from_slice(only_envelope(&reply.body, END_OF_STREAM)?)?;
        Self::connect_error(&end["error"])
    }

    fn grpc(reply: &Reply) -> Result<Self> {
        ensure!(reply.status == StatusCode::OK && reply.body.is_empty());
        ensure!(reply.header("content-type")? == "application/grpc");
        let message = reply.header("grpc-message")?.to_owned();
        Self::by_number(reply.header("grpc-status")?, message)
    }

    fn grpc_web(reply: &Reply, content_type: &str, body: &[u8]) -> Result<Self> {
        ensure!(reply.status == StatusCode::OK);
        ensure!(reply.header("content-type")? == content_type);
        let trailers = std::str::from_utf8(only_envelope(body, WEB_TRAILERS)?)?;
        let lines: Vec<_> = trailers.split("\r\n").collect();
        let [status, message, ""] = lines[..] else {
            bail!("trailers {lines:?}");
        };
        let status = status.strip_prefix("grpc-status: ").context("no status")?;
        let message = message.strip_prefix("grpc-message: ");
        Self::by_number(status, message.context("no message")?.to_owned())
    }

    fn plain(reply: &Reply) -> Result<Self> {
        ensure!(reply.header("content-type")? == "text/plain; charset=utf-8");
        let mut codes = CODES.into_iter();
        let found = codes.find(|(_, _, status)| *status == reply.status);
        let (code, ..) = found.context("an unexpected status")?;
        Self::new(code, reply.text())
    }

    fn connect_error(error: &Value) -> Result<Self> {
        let text = |name: &str| error[name].as_str().with_context(|| format!("no {name}"));
        let mut codes = CODES.into_iter();
        let found = codes.find(|(code, ..)| text("code").is_ok_and(|name| name == *code));
        let (code, ..) = found.context("an unexpected code")?;
        Self::new(code, text("message")?.to_owned())
    }

    fn by_number(number: &str, message: String) -> Result<Self> {
        let found = CODES.into_iter().find(|(_, known, _)| *known == number);
        let (code, ..) = found.context("an unexpected status")?;
        Self::new(code, message)
    }

    fn new(code: &'static str, message: String) -> Result<Self> {
        ensure!(!message.trim().is_empty(), "no reason");
        Ok(Self { code, message })
    }

    fn status(&self) -> StatusCode {
        let mut codes = CODES.into_iter();
        codes
            .find(|(code, ..)| *code == self.code)
            .map_or(StatusCode::OK, |(_, _, status)| status)
    }
}

fn only_envelope(body: &[u8], flag: u8) -> Result<&[u8]> {
    let (head, message) = body.split_at_checked(5).context("no envelope")?;
    let length = usize::try_from(u32::from_be_bytes(head[1..].try_into()?))?;
    ensure!(head[0] == flag && message.len() == length, "{head:?}");
    Ok(message)
}
