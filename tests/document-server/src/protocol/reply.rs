//! What a method answers, before it is written in a caller's protocol.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc;

use super::error::RpcError;

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A response whose body is all there.
#[must_use]
pub fn full(body: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(body.into()).boxed_unsync()
}

/// A response body that is produced piece by piece, perhaps with trailers.
pub(crate) fn stream<S>(frames: S) -> Body
where
    S: tokio_stream::Stream<Item = hyper::body::Frame<Bytes>> + Send + 'static,
{
    use tokio_stream::StreamExt as _;
    http_body_util::StreamBody::new(frames.map(Ok)).boxed_unsync()
}

/// The messages of a server stream, as protobuf bytes. An error ends it; the end
/// of the channel ends it well. The receiver is dropped when the caller is gone,
/// which is how the sending side learns of it.
pub type Messages = mpsc::Receiver<Result<Bytes, RpcError>>;

/// The answer of a method.
#[derive(Debug)]
pub enum Reply {
    /// One message, as protobuf bytes.
    Unary(Bytes),
    /// A stream of messages.
    Stream(Messages),
}

/// One call as the methods see it.
#[derive(Debug)]
pub struct Call {
    /// The service's full name.
    pub service: String,
    /// The method's name.
    pub method: String,
    /// The request message, as protobuf bytes.
    pub message: Bytes,
    /// The headers of the request.
    pub headers: HeaderMap,
}
