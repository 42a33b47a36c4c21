//! Requests with messages, in every protocol.

use serde_json::{Map, Value, json};
use sharding::FieldPath;

use super::*;

/// A protocol and codec, by its content type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire {
    pub(super) content_type: &'static str,
    is_enveloped: bool,
    is_json: bool,
}

pub(super) const WIRES: [Wire; 8] = [
    wire("application/json", false, true),
    wire("application/proto", false, false),
    wire("application/connect+json", true, true),
    wire("application/connect+proto", true, false),
    wire("application/grpc", true, false),
    wire("application/grpc+json", true, true),
    wire("application/grpc-web+proto", true, false),
    wire("application/grpc-web+json", true, true),
];

pub(super) const JSON: Wire = WIRES[0];
pub(super) const GRPC: Wire = WIRES[4];

const fn wire(content_type: &'static str, is_enveloped: bool, is_json: bool) -> Wire {
    Wire {
        content_type,
        is_enveloped,
        is_json,
    }
}

impl Wire {
    /// A body with one message that has these fields.
    pub(super) fn body(self, fields: &[(FieldPath, &str)]) -> Vec<u8> {
        let message = if self.is_json {
            json_message(fields)
        } else {
            fields
                .iter()
                .flat_map(|(path, text)| proto(path, text))
                .collect()
        };
        if !self.is_enveloped {
            return message;
        }
        let length = (message.len() as u32).to_be_bytes();
        [&[0], length.as_slice(), &message].concat()
    }
}

fn json_message(fields: &[(FieldPath, &str)]) -> Vec<u8> {
    let mut root = json!({});
    for (path, text) in fields {
        let mut place = &mut root;
        for field in path.fields() {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[field.json_name()];
        }
        *place = json!(text);
    }
    root.to_string().into_bytes()
}

fn proto(path: &FieldPath, text: &str) -> Vec<u8> {
    path.fields()
        .iter()
        .rev()
        .fold(text.as_bytes().to_vec(), |content, field| {
            let mut bytes = varint(u64::from(field.number()) << 3 | 2);
            bytes.extend(varint(content.len() as u64));
            bytes.extend(content);
            bytes
        })
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

pub(super) fn field(text: &str) -> FieldPath {
    text.parse().unwrap()
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'a str, Vec<u8>)>,
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) internal: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(path: &'a str, headers: &[(&'a str, &str)]) -> Self {
        let headers = headers.iter();
        Self {
            method: "POST",
            path,
            headers: headers
                .map(|(name, value)| (*name, value.as_bytes().to_vec()))
                .collect(),
            chunks: Vec::new(),
            internal: false,
        }
    }

    /// With a message of these fields.
    pub(super) fn with(self, wire: Wire, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<_> = fields
            .iter()
            .map(|(path, text)| (field(path), *text))
            .collect();
        self.with_body(wire.content_type, &[&wire.body(&fields)])
    }

    pub(super) fn with_body(mut self, content_type: &str, chunks: &[&[u8]]) -> Self {
        self.headers.push(("content-type", content_type.into()));
        self.chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        self
    }
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Routed with these values of `x-shard-key`.
    Routed(Vec<String>),
    /// Refused with this message, in whatever protocol.
    Refused(String),
}

pub(super) fn routed(key: &str) -> Outcome {
    Outcome::Routed(vec![key.to_owned()])
}

impl Router {
    pub(super) fn call(&self, call: &Call<'_>) -> Outcome {
        self.stream(call).1
    }

    /// Sends a call piece by piece, as Envoy would.
    pub(super) fn stream(&self, call: &Call<'_>) -> (Stream, Outcome) {
        let mut headers = vec![
            (":method", call.method.as_bytes().to_vec()),
            (":path", call.path.as_bytes().to_vec()),
        ];
        headers.extend(call.headers.iter().cloned());
        self.host.request(&headers);
        let mut stream = Stream::new(2, 1, call.internal);
        let is_all = call.chunks.is_empty();
        let mut flow = stream.request_headers(&self.vm, &self.host, is_all);
        for (index, chunk) in call.chunks.iter().enumerate() {
            let is_end = index + 1 == call.chunks.len();
            if flow == Flow::Answered {
                break;
            }
            // Only what waits gathers.
            let size = if flow == Flow::Wait {
                self.host.body(chunk)
            } else {
                chunk.len()
            };
            flow = stream.request_body(&self.vm, &self.host, size, is_end);
            let limit = self.vm.current().unwrap().config.max_body as usize;
            assert!(flow != Flow::Wait || size <= limit, "{size} bytes wait");
        }
        let outcome = match flow {
            Flow::Continue => {
                assert_eq!(self.host.reply(), None);
                assert_eq!(self.host.values("x-shard-epoch"), ["7"]);
                Outcome::Routed(self.host.values("x-shard-key"))
            }
            Flow::Answered => Outcome::Refused(message(&self.host.reply().unwrap())),
            Flow::Wait => panic!("waits after its end"),
        };
        (stream, outcome)
    }

    pub(super) fn refused(&self, call: &Call<'_>) -> String {
        match self.call(call) {
            Outcome::Refused(message) => message,
            Outcome::Routed(keys) => panic!("routed by {keys:?}"),
        }
    }
}

/// The text of a refusal.
fn message(reply: &Reply) -> String {
    let in_header = reply
        .headers
        .iter()
        .find(|(name, _)| *name == "grpc-message");
    match in_header {
        Some((_, message)) => message.to_string(),
        None => String::from_utf8_lossy(&reply.body).into_owned(),
    }
}
