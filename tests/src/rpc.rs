//! Calls of any method in any protocol, with messages built from field paths.

use std::collections::BTreeMap;

use anyhow::Result;
use http::Method;
use sharding::{FieldPath, Kind};

use crate::Request;

/// A protocol with its codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rpc {
    /// Connect, JSON.
    ConnectJson,
    /// Connect, protobuf.
    ConnectProto,
    /// gRPC, protobuf.
    Grpc,
    /// gRPC-Web, protobuf.
    GrpcWeb,
}

/// Fields of Yorkie's messages that are lists, which JSON has to show.
const REPEATED: [&str; 3] = ["resources", "document_keys", "channel_keys"];

impl Rpc {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ConnectJson,
        Self::ConnectProto,
        Self::Grpc,
        Self::GrpcWeb,
    ];

    /// A call of the method at `path` with these string fields.
    pub fn call(self, path: &str, kind: Kind, fields: &[(&FieldPath, &str)]) -> Result<Request> {
        let mut message = Message::default();
        for (path, value) in fields {
            message.set(path, value);
        }
        let request = Request::new(Method::POST, path);
        let request = request.header("content-type", self.content_type(kind))?;
        Ok(request.body(self.body(kind, &message)))
    }

    fn content_type(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::ConnectJson, Kind::Unary) => "application/json",
            (Self::ConnectJson, Kind::ServerStream) => "application/connect+json",
            (Self::ConnectProto, Kind::Unary) => "application/proto",
            (Self::ConnectProto, Kind::ServerStream) => "application/connect+proto",
            (Self::Grpc, _) => "application/grpc",
            (Self::GrpcWeb, _) => "application/grpc-web+proto",
        }
    }

    fn body(self, kind: Kind, message: &Message) -> Vec<u8> {
        let bytes = match self {
            Self::ConnectJson => message.json().into_bytes(),
            Self::ConnectProto | Self::Grpc | Self::GrpcWeb => message.proto(),
        };
        let bare = matches!(self, Self::ConnectJson | Self::ConnectProto) && kind == Kind::Unary;
        if bare { bytes } else { envelope(&bytes) }
    }
}

/// A message as a tree of its set fields, by number and name.
#[derive(Debug, Default)]
struct Message(BTreeMap<(u32, String), Value>);

#[derive(Debug)]
enum Value {
    Text(String),
    Message(Message),
}

impl Message {
    fn set(&mut self, path: &FieldPath, value: &str) {
        let Some((last, outer)) = path.fields().split_last() else {
            return;
        };
        let mut message = self;
        for field in outer {
            let key = (field.number(), field.name().to_owned());
            let nested = message.0.entry(key);
            message = match nested.or_insert_with(|| Value::Message(Self::default())) {
                Value::Message(nested) => nested,
                Value::Text(text) => panic!("{path} leads through the text {text:?}"),
            };
        }
        let key = (last.number(), last.name().to_owned());
        message.0.insert(key, Value::Text(value.to_owned()));
    }

    fn proto(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for ((number, _), value) in &self.0 {
            let content = match value {
                Value::Text(text) => text.clone().into_bytes(),
                Value::Message(message) => message.proto(),
            };
            varint(&mut bytes, (number << 3 | 2) as usize);
            varint(&mut bytes, content.len());
            bytes.extend(content);
        }
        bytes
    }

    fn json(&self) -> String {
        let fields: Vec<_> = self
            .0
            .iter()
            .map(|((_, name), value)| {
                let value = match value {
                    Value::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
                    Value::Message(message) => message.json(),
                };
                let value = if REPEATED.contains(&name.as_str()) {
                    format!("[{value}]")
                } else {
                    value
                };
                format!("\"{}\":{value}", lower_camel_case(name))
            })
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn envelope(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[0][..], &length, message].concat()
}

fn lower_camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |camel, word| {
        let (head, tail) = word.split_at(1);
        camel + &head.to_ascii_uppercase() + tail
    })
}
