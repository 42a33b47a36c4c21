//! What a member answers, and how that is written for its caller.

use std::io::{Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};
use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sharding::{SHARD_EPOCH, SHARD_KEY, SHARD_OWNER, xxh64};

/// What a member answers: who it is and the request as it arrived there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Id of the member that answers.
    pub member: String,
    /// Address at which it answers.
    pub address: SocketAddr,
    /// Method of the request.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers, in order, as text.
    pub headers: Vec<(String, String)>,
}

/// The id that members have given to the document with that shard key.
#[must_use]
pub fn document_id(shard_key: &str) -> String {
    format!("{:024x}", xxh64(shard_key.as_bytes(), 0))
}

impl Answer {
    /// All values of a header.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that must be there exactly once.
    pub fn only(&self, name: &str) -> Result<&str> {
        match self.all(name)[..] {
            [value] => Ok(value),
            ref values => anyhow::bail!("expected one {name}, the member got {values:?}"),
        }
    }

    /// The shard key.
    pub fn key(&self) -> Result<&str> {
        self.only(SHARD_KEY)
    }

    /// The epoch under which the request was routed.
    pub fn epoch(&self) -> Result<u64> {
        let text = self.only(SHARD_EPOCH)?;
        text.parse()
            .with_context(|| format!("{SHARD_EPOCH} is {text:?}"))
    }

    /// The owner that the router expects.
    pub fn owner(&self) -> Result<&str> {
        self.only(SHARD_OWNER)
    }

    /// Reads the answer from a response that is written in any way.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self> {
        let content = text(headers, header::CONTENT_TYPE.as_str());
        let is_enveloped = content.starts_with("application/grpc");
        let message = if is_enveloped {
            let (flag, message) = first_message(body)?;
            unpacked(message, flag & 1 == 1)?
        } else {
            unpacked(body, text(headers, "content-encoding") == "gzip")?
        };
        if is_enveloped || content == "application/proto" {
            let attached = Attached::decode(message.as_slice())?;
            return Ok(serde_json::from_str(&attached.answer)?);
        }
        Ok(serde_json::from_slice(&message)?)
    }
}

/// A response.
pub(crate) struct Written {
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Yorkie's `AttachDocumentResponse`, as far as routers learn from it, with the
/// answer in a field that it does not have.
#[derive(Clone, PartialEq, Eq, Message)]
struct Attached {
    #[prost(string, tag = "1")]
    document_id: String,
    #[prost(message, optional, tag = "2")]
    change_pack: Option<ChangePack>,
    #[prost(string, tag = "100")]
    answer: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct ChangePack {
    #[prost(string, tag = "1")]
    document_key: String,
}

impl Written {
    /// The answer alone.
    pub(crate) fn plain(answer: &Answer) -> Result<Self> {
        Ok(Self::json(serde_json::to_vec(answer)?))
    }

    /// The answer to `AttachDocument`, in the protocol of the request with
    /// these headers and compressed if they ask for that. Which document it is
    /// about is taken from its shard key.
    pub(crate) fn attached(answer: &Answer, request: &HeaderMap) -> Result<Self> {
        let Ok(key) = answer.key() else {
            return Self::plain(answer);
        };
        let (_, name) = key.split_once('/').context("no project")?;
        let content = text(request, header::CONTENT_TYPE.as_str());
        let is_enveloped = content.starts_with("application/grpc");
        let (accept, encoding) = if is_enveloped {
            ("grpc-accept-encoding", "grpc-encoding")
        } else {
            ("accept-encoding", "content-encoding")
        };
        let is_zipped = text(request, accept).contains("gzip");
        let pack = |message: &[u8]| {
            if is_zipped {
                gzip(message)
            } else {
                Ok(message.to_vec())
            }
        };
        let message = Attached {
            document_id: document_id(key),
            change_pack: Some(ChangePack {
                document_key: name.to_owned(),
            }),
            answer: serde_json::to_string(answer)?,
        };
        let envelope = |flag, message: &[u8]| envelope(flag | u8::from(is_zipped), message);
        let proto = pack(&message.encode_to_vec())?;
        let mut written = match content {
            "application/proto" => Self::bare("application/proto", proto),
            "application/grpc" => Self {
                trailers: Some(HeaderMap::from_iter([(
                    http::HeaderName::from_static("grpc-status"),
                    HeaderValue::from_static("0"),
                )])),
                ..Self::bare("application/grpc", envelope(0, &proto)?)
            },
            "application/grpc-web+proto" => {
                let trailers = envelope(0x80, &pack(b"grpc-status: 0\r\n")?)?;
                let body = [envelope(0, &proto)?, trailers].concat();
                Self::bare("application/grpc-web+proto", body)
            }
            _ => {
                let mut json = serde_json::to_value(answer)?;
                json["documentId"] = json!(message.document_id);
                json["changePack"] = json!({ "documentKey": name });
                Self::json(pack(json.to_string().as_bytes())?)
            }
        };
        if is_zipped {
            written.headers.push((encoding, "gzip"));
        }
        Ok(written)
    }

    fn json(body: Vec<u8>) -> Self {
        Self::bare("application/json", body)
    }

    fn bare(content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            headers: vec![(header::CONTENT_TYPE.as_str(), content_type)],
            body: body.into(),
            trailers: None,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

fn envelope(flag: u8, message: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(message.len())?.to_be_bytes();
    Ok([&[flag][..], &length, message].concat())
}

fn first_message(body: &[u8]) -> Result<(u8, &[u8])> {
    let (head, rest) = body.split_at_checked(5).context("no envelope")?;
    let length = u32::from_be_bytes(head[1..].try_into()?);
    let message = rest.get(..usize::try_from(length)?);
    Ok((head[0], message.context("half an envelope")?))
}

fn gzip(plain: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

fn unpacked(bytes: &[u8], is_zipped: bool) -> Result<Vec<u8>> {
    if !is_zipped {
        return Ok(bytes.to_vec());
    }
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain)?;
    ensure!(!plain.is_empty(), "nothing was compressed");
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        Answer {
            member: "a".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: vec![(SHARD_KEY.to_owned(), "p/note".to_owned())],
        }
    }

    #[test]
    fn an_answer_reads_back_however_it_was_written() {
        for content in [
            "application/json",
            "application/proto",
            "application/grpc",
            "application/grpc-web+proto",
        ] {
            for encoding in ["identity", "gzip"] {
                let mut request = HeaderMap::new();
                for (name, value) in [
                    ("content-type", content),
                    ("accept-encoding", encoding),
                    ("grpc-accept-encoding", encoding),
                ] {
                    request.insert(name, HeaderValue::from_static(value));
                }
                let written = Written::attached(&answer(), &request).unwrap();
                let headers = written.headers.iter().map(|(name, value)| {
                    let value = HeaderValue::from_static(value);
                    (http::HeaderName::from_static(name), value)
                });
                let headers: HeaderMap = headers.collect();
                assert_eq!(text(&headers, "content-type"), content);
                assert_eq!(headers.len(), if encoding == "gzip" { 2 } else { 1 });
                let read = Answer::read(&headers, &written.body).unwrap();
                assert_eq!(read, answer(), "{content} {encoding}");
            }
        }
    }
}
