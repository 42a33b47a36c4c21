//! From an HTTP request to a method's answer, in whichever protocol.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use hyper::body::Frame;
use prost_reflect::MethodDescriptor;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::compression::Compression;
use super::content::{Content, Protocol};
use super::error::{Code, RpcError};
use super::reply::{Body, Call, Reply, full, stream};
use super::{MAX_MESSAGE, codec::Codec, connect, deadline, envelope, grpc, grpc_web};

/// A request that was understood, up to its protocol.
#[derive(Debug)]
pub struct Incoming {
    /// The protocol and codec.
    pub content: Content,
    method: MethodDescriptor,
    version: Version,
}

impl Incoming {
    /// Reads the content type of a request for `method`.
    ///
    /// # Errors
    /// A finished response when the request is no RPC of a known protocol:
    /// 405 or 415.
    #[allow(clippy::result_large_err, reason = "the error is the response")]
    pub fn accept(parts: &Parts, method: MethodDescriptor) -> Result<Self, Response<Body>> {
        if parts.method != http::Method::POST {
            return Err(refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                header::ALLOW,
                "POST",
            ));
        }
        let streaming = method.is_server_streaming();
        let content = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        match content.and_then(Content::parse) {
            Some(content) if content.protocol.carries(streaming) => Ok(Self {
                content,
                method,
                version: parts.version,
            }),
            _ => Err(refusal(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                header::HeaderName::from_static("accept-post"),
                &Content::accepted(streaming),
            )),
        }
    }

    /// Reads the request message and the time limit.
    ///
    /// # Errors
    /// What is wrong with the request, to be answered with [`Self::answer`].
    pub fn call(
        &self,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(Call, Option<Duration>), RpcError> {
        let limit = deadline::from_headers(&headers, self.content.protocol)?;
        let message = self.request_message(&headers, body)?;
        let message = self
            .content
            .codec
            .to_proto(&self.method.input(), &message)?;
        let service = self.method.parent_service().full_name().to_owned();
        let method = self.method.name().to_owned();
        Ok((
            Call {
                service,
                method,
                message,
                headers,
            },
            limit,
        ))
    }

    fn request_message(&self, headers: &HeaderMap, body: Bytes) -> Result<Bytes, RpcError> {
        let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
        let version = text("connect-protocol-version");
        match self.content.protocol {
            Protocol::ConnectUnary | Protocol::ConnectStream
                if version.is_some_and(|version| version != "1") =>
            {
                Err(RpcError::new(
                    Code::InvalidArgument,
                    format!(
                        "connect-protocol-version must be \"1\": got {:?}",
                        version.unwrap_or_default()
                    ),
                ))
            }
            Protocol::ConnectUnary => {
                let compression = Compression::from_header(text("content-encoding"))?;
                compression.decompress(body, MAX_MESSAGE)
            }
            Protocol::ConnectStream => {
                let compression = Compression::from_header(text("connect-content-encoding"))?;
                envelope::single_message(body, MAX_MESSAGE, compression)
            }
            Protocol::Grpc | Protocol::GrpcWeb => {
                let compression = Compression::from_header(text("grpc-encoding"))?;
                envelope::single_message(body, MAX_MESSAGE, compression)
            }
        }
    }

    /// Writes a method's answer in the caller's protocol.
    #[must_use]
    pub fn answer(&self, outcome: Result<Reply, RpcError>) -> Response<Body> {
        let outcome = outcome.and_then(|reply| self.encode_unary(reply));
        if self.content.protocol == Protocol::ConnectUnary {
            return match outcome {
                Ok(Reply::Unary(message)) => connect::unary(self.content.name, message),
                Ok(Reply::Stream(_)) => connect::unary_error(&RpcError::new(
                    Code::Internal,
                    "a unary method answered with a stream",
                )),
                Err(error) => connect::unary_error(&error),
            };
        }
        let end: fn(&Result<(), RpcError>) -> Frame<Bytes> = match self.content.protocol {
            Protocol::Grpc => grpc::end_of_stream,
            Protocol::GrpcWeb => grpc_web::end_of_stream,
            Protocol::ConnectUnary | Protocol::ConnectStream => connect::end_of_stream,
        };
        let mut response = match outcome {
            // Trailers-only: the trailers are the headers, and there is no body.
            Err(error) if self.content.protocol == Protocol::Grpc => {
                let mut response = Response::new(full(Bytes::new()));
                *response.headers_mut() = grpc::trailers(&Err(error));
                response
            }
            Err(error) => Response::new(stream(tokio_stream::once(end(&Err(error))))),
            Ok(Reply::Unary(message)) => Response::new(stream(tokio_stream::iter([
                Frame::data(envelope::wrap(0, &message)),
                end(&Ok(())),
            ]))),
            Ok(Reply::Stream(messages)) => {
                let kind = (self.content.codec, self.method.output());
                Response::new(stream(enveloped(ReceiverStream::new(messages), kind, end)))
            }
        };
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.content.name),
        );
        if self.content.protocol == Protocol::Grpc && self.version < Version::HTTP_2 {
            headers.insert(header::TRAILER, HeaderValue::from_static(grpc::TRAILERS));
        }
        response
    }

    fn encode_unary(&self, reply: Reply) -> Result<Reply, RpcError> {
        match reply {
            Reply::Unary(message) => {
                let message = self
                    .content
                    .codec
                    .from_proto(&self.method.output(), message)?;
                Ok(Reply::Unary(message))
            }
            streamed @ Reply::Stream(_) => Ok(streamed),
        }
    }
}

/// Puts each message in its envelope and adds the end of the stream.
fn enveloped(
    messages: ReceiverStream<Result<Bytes, RpcError>>,
    (codec, kind): (Codec, prost_reflect::MessageDescriptor),
    end: fn(&Result<(), RpcError>) -> Frame<Bytes>,
) -> impl Stream<Item = Frame<Bytes>> + Send + 'static {
    use tokio_stream::StreamExt as _;
    // `None` is the good end; after an end of either kind nothing follows.
    let mut ended = false;
    messages
        .map(Some)
        .chain(tokio_stream::once(None))
        .map_while(move |item| {
            if ended {
                return None;
            }
            let message = item.map(|item| item.and_then(|proto| codec.from_proto(&kind, proto)));
            Some(match message {
                Some(Ok(message)) => Frame::data(envelope::wrap(0, &message)),
                Some(Err(error)) => {
                    ended = true;
                    end(&Err(error))
                }
                None => {
                    ended = true;
                    end(&Ok(()))
                }
            })
        })
}

fn refusal(status: StatusCode, name: header::HeaderName, value: &str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
