//! Answers that are none.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::Problem;

/// A status that is no success, with its reason in JSON.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
}

#[allow(clippy::needless_pass_by_value)] // so that `map_err` can hand errors on
impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl ToString) -> Self {
        Self {
            status,
            error: error.to_string(),
        }
    }

    /// The question makes no sense.
    pub(super) fn bad_request(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// There is nothing of that name.
    pub(super) fn not_found(error: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// Nothing is known yet.
    pub(super) fn not_ready() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "there was no roster yet")
    }

    /// Something is wrong with the control plane itself.
    pub(super) fn internal(error: impl ToString) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, error } = self;
        (status, Json(Problem { error })).into_response()
    }
}
