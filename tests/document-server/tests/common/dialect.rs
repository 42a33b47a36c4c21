//! Every protocol, codec and HTTP version, spoken from the bytes up.

use bytes::{Buf as _, Bytes, BytesMut};
use document_server::api;
use document_server::protocol::codec::Codec;
use document_server::protocol::content::{Content, Protocol};
use document_server::protocol::{envelope, methods};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use prost::Message;
use serde_json::Value;

use super::PATIENCE;
use super::json::{Http, http};

/// One way to call a server.
pub(crate) struct Dialect {
    pub(crate) unary: &'static str,
    pub(crate) stream: &'static str,
    http: Http,
}

pub(crate) const CONNECT_JSON: (&str, &str) = ("application/json", "application/connect+json");
pub(crate) const CONNECT_PROTO: (&str, &str) = ("application/proto", "application/connect+proto");
pub(crate) const GRPC: (&str, &str) = ("application/grpc", "application/grpc+proto");
pub(crate) const GRPC_JSON: (&str, &str) = ("application/grpc+json", "application/grpc+json");
pub(crate) const WEB: (&str, &str) = ("application/grpc-web", "application/grpc-web+proto");
pub(crate) const WEB_JSON: (&str, &str) =
    ("application/grpc-web+json", "application/grpc-web+json");

pub(crate) fn dialects() -> Vec<Dialect> {
    let all = [CONNECT_JSON, CONNECT_PROTO, GRPC, GRPC_JSON, WEB, WEB_JSON];
    let both = all
        .into_iter()
        .flat_map(|names| [(names, false), (names, true)]);
    both.map(|((unary, stream), h2)| Dialect {
        unary,
        stream,
        http: http(h2),
    })
    .collect()
}

/// How a call failed: the code, and Yorkie's own.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) reason: bool,
}

impl Dialect {
    async fn send(&self, url: &str, method: &str, message: Bytes) -> Response<Incoming> {
        let kind = methods::find("yorkie.v1.YorkieService", method).expect("known");
        let content_type = if kind.is_server_streaming() {
            self.stream
        } else {
            self.unary
        };
        let content = Content::parse(content_type).expect("known");
        let body = content
            .codec
            .from_proto(&kind.input(), message)
            .expect("valid");
        let body = match content.protocol {
            Protocol::ConnectUnary => body,
            _ => envelope::wrap(0, &body),
        };
        let request = Request::post(format!("{url}/yorkie.v1.YorkieService/{method}"))
            .header("content-type", content_type)
            .header("te", "trailers")
            .body(Full::new(body))
            .expect("a valid request");
        let response = tokio::time::timeout(PATIENCE, self.http.request(request)).await;
        let response = response.expect("in time").expect("answered");
        assert_eq!(response.headers()["x-served-by"], "yorkie-0");
        response
    }

    pub(crate) async fn unary<M: Message + Default>(
        &self,
        url: &str,
        method: &str,
        message: impl Message,
    ) -> Result<M, Failure> {
        let response = self.send(url, method, message.encode_to_vec().into()).await;
        let content = Content::parse(self.unary).expect("known");
        let output = methods::find("yorkie.v1.YorkieService", method)
            .expect("known")
            .output();
        let decode = |message: Bytes| {
            let proto = content
                .codec
                .to_proto(&output, &message)
                .expect("a valid message");
            M::decode(proto).expect("valid protobuf")
        };
        if content.protocol == Protocol::ConnectUnary {
            let status = response.status();
            let body = response
                .into_body()
                .collect()
                .await
                .expect("whole")
                .to_bytes();
            if status == StatusCode::OK {
                return Ok(decode(body));
            }
            return Err(connect_failure(
                &serde_json::from_slice(&body).expect("JSON"),
            ));
        }
        let mut stream = Stream::new(response, content.codec, content.protocol);
        let message = stream.next().await?;
        match message {
            Some(message) => {
                stream.next().await?;
                Ok(decode(message))
            }
            None => panic!("neither a message nor an error"),
        }
    }

    pub(crate) async fn watch(&self, url: &str, request: &api::WatchRequest) -> Stream {
        let response = self
            .send(url, "Watch", request.encode_to_vec().into())
            .await;
        let content = Content::parse(self.stream).expect("known");
        Stream::new(response, content.codec, content.protocol)
    }
}

fn connect_failure(error: &Value) -> Failure {
    let code = error["code"].as_str().expect("a code").to_owned();
    Failure {
        code,
        reason: error["details"][0]["value"].is_string(),
    }
}

fn grpc_outcome(trailers: &HeaderMap) -> Result<(), Failure> {
    let number = trailers
        .get("grpc-status")
        .expect("a status")
        .to_str()
        .expect("text");
    match number {
        "0" => Ok(()),
        "3" => Err("invalid_argument"),
        "5" => Err("not_found"),
        other => panic!("status {other}: {trailers:?}"),
    }
    .map_err(|code| Failure {
        code: code.to_owned(),
        reason: trailers.contains_key("grpc-status-details-bin"),
    })
}

/// The enveloped messages of a response.
pub(crate) struct Stream {
    body: Incoming,
    headers: HeaderMap,
    buffer: BytesMut,
    codec: Codec,
    protocol: Protocol,
}

impl Stream {
    pub(crate) fn new(response: Response<Incoming>, codec: Codec, protocol: Protocol) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        let (parts, body) = response.into_parts();
        Self {
            body,
            headers: parts.headers,
            buffer: BytesMut::new(),
            codec,
            protocol,
        }
    }

    /// The next message as it came, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some((flags, payload)) = self.buffered() {
                return match (self.protocol, flags) {
                    (_, 0) => Ok(Some(payload)),
                    (Protocol::ConnectStream, envelope::CONNECT_END) => {
                        let end: Value = serde_json::from_slice(&payload).expect("JSON");
                        end.get("error")
                            .map_or(Ok(None), |error| Err(connect_failure(error)))
                    }
                    (Protocol::GrpcWeb, envelope::WEB_TRAILERS) => {
                        let text = String::from_utf8(payload.to_vec()).expect("text");
                        let lines = text.lines().filter_map(|line| line.split_once(": "));
                        let trailers: HeaderMap = lines
                            .map(|(name, value)| {
                                (
                                    name.parse().expect("a name"),
                                    value.parse().expect("a value"),
                                )
                            })
                            .collect();
                        grpc_outcome(&trailers).map(|()| None)
                    }
                    other => panic!("unexpected envelope {other:?}"),
                };
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame())
                .await
                .expect("in time");
            match frame.map(|frame| frame.expect("unbroken")) {
                Some(frame) if frame.is_data() => {
                    self.buffer
                        .extend_from_slice(&frame.into_data().expect("data"));
                }
                Some(frame) => {
                    let trailers = frame.into_trailers().expect("trailers");
                    return grpc_outcome(&trailers).map(|()| None);
                }
                // Without a body the trailers are the headers.
                None => return grpc_outcome(&self.headers).map(|()| None),
            }
        }
    }

    fn buffered(&mut self) -> Option<(u8, Bytes)> {
        let mut prefix = self.buffer.get(..5)?;
        let (flags, length) = (prefix.get_u8(), prefix.get_u32() as usize);
        if self.buffer.len() < 5 + length {
            return None;
        }
        Some((
            flags,
            self.buffer.split_to(5 + length).split_off(5).freeze(),
        ))
    }

    pub(crate) async fn watch_response(&mut self) -> api::watch_response::Body {
        let message = self.next().await.expect("no error").expect("a message");
        let output = methods::find("yorkie.v1.YorkieService", "Watch")
            .expect("known")
            .output();
        let proto = self
            .codec
            .to_proto(&output, &message)
            .expect("a valid message");
        api::WatchResponse::decode(proto)
            .expect("valid")
            .body
            .expect("a body")
    }
}
