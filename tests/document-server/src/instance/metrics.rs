//! The two metrics that a control plane reads, in Prometheus' text format.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::Instance;
use crate::log::Moment;
use crate::protocol::reply::{Body, full};

/// Answers `GET /metrics`.
#[must_use]
pub fn answer(
    instance: &Arc<Instance>,
    started: Moment,
    request: &Request<Incoming>,
) -> Response<Body> {
    if request.uri().path() != "/metrics" {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let mut response = Response::new(full(text(instance, started)));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn text(instance: &Instance, started: Moment) -> String {
    format!(
        "# TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds {}.{:03}\n\
         # TYPE yorkie_stream_watch_document_stream_connections_total gauge\n\
         yorkie_stream_watch_document_stream_connections_total {}\n",
        started.wall_ms / 1000,
        started.wall_ms % 1000,
        instance.streams.document_watches(),
    )
}
