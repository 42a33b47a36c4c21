//! Who may change something: whoever shows the token of `admin.token_file`.
//!
//! Without that file nobody may, on loopback neither: a port on loopback is
//! open to every process of the machine, and to every page in a browser on it.
//! The file is read for each such request, which is rare, so that a new token
//! counts at once.

use std::path::PathBuf;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{error, warn};

use super::Refusal;
use crate::token::{Token, TokenError};

const NOT_CONFIGURED: &str = "nothing can be changed here: admin.token_file is not configured, which names the file with the token that allows it";
const NO_TOKEN: &str =
    "expected the header authorization: Bearer TOKEN, with the token of admin.token_file";

/// The file with the token, if there is one.
#[derive(Debug, Clone)]
pub(super) struct Guard(pub(super) Option<PathBuf>);

/// Lets a request pass that may change something.
pub(super) async fn guard(
    State(Guard(file)): State<Guard>,
    request: Request,
    next: Next,
) -> Response {
    let Some(file) = file else {
        return Refusal::new(StatusCode::FORBIDDEN, NOT_CONFIGURED).into_response();
    };
    let read = tokio::task::spawn_blocking(move || Token::read(&file)).await;
    match read {
        Ok(Ok(token)) if is_shown(&token, request.headers()) => next.run(request).await,
        Ok(Ok(_)) => {
            warn!(
                path = request.uri().path(),
                "Change refused: no valid token"
            );
            let refusal = Refusal::new(StatusCode::UNAUTHORIZED, NO_TOKEN);
            ([(WWW_AUTHENTICATE, "Bearer")], refusal).into_response()
        }
        Ok(Err(error)) => unreadable(&error),
        Err(error) => Refusal::internal(error).into_response(),
    }
}

fn unreadable(error: &TokenError) -> Response {
    error!(%error, "Change refused: admin.token_file is not usable");
    let text = "admin.token_file is not usable: see the log of the control plane";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn is_shown(token: &Token, headers: &HeaderMap) -> bool {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (shown.next(), shown.next()) else {
        return false;
    };
    let (scheme, shown) = value.as_bytes().split_at(value.len().min(BEARER.len()));
    scheme.eq_ignore_ascii_case(BEARER) && token.is(shown)
}

/// The scheme and the blank behind it (RFC 6750, 2.1).
const BEARER: &[u8] = b"Bearer ";
