//! Writing answers in Connect.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Frame;
use serde_json::json;

use super::envelope;
use super::error::RpcError;
use super::reply::{Body, full};

/// A unary answer.
pub(crate) fn unary(content_type: &'static str, message: Bytes) -> Response<Body> {
    let mut response = Response::new(full(message));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A unary error; always JSON, whatever the codec of the call.
pub(crate) fn unary_error(error: &RpcError) -> Response<Body> {
    let mut response = unary(
        "application/json",
        error.to_connect_json().to_string().into(),
    );
    *response.status_mut() =
        StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// The last envelope of a stream.
pub(crate) fn end_of_stream(outcome: &Result<(), RpcError>) -> Frame<Bytes> {
    let end = match outcome {
        Ok(()) => json!({}),
        Err(error) => json!({"error": error.to_connect_json()}),
    };
    Frame::data(envelope::wrap(
        envelope::CONNECT_END,
        end.to_string().as_bytes(),
    ))
}
