//! The answers over HTTP.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::{Admin, leases};
use crate::api::{ASSIGNMENT_PATH, STATUS_PATH};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const NOT_READY: &str = "there was no roster yet";

pub(super) fn routes(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(STATUS_PATH, get(status))
        .route(ASSIGNMENT_PATH, get(assignment))
        .merge(leases::looking())
        .merge(changing())
        .with_state(admin)
}

/// Everything that changes something.
fn changing() -> Router<Arc<Admin>> {
    leases::changing()
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if admin.is_ready() {
        "ready\n".into_response()
    } else {
        not_ready()
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.metrics() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(admin): State<Arc<Admin>>) -> Response {
    Json(admin.status().await).into_response()
}

async fn assignment(State(admin): State<Arc<Admin>>) -> Response {
    admin
        .assignment()
        .map_or_else(not_ready, |assignment| Json(assignment).into_response())
}

fn not_ready() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{NOT_READY}\n")).into_response()
}
