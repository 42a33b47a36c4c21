//! Leases over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sharding::Member;

use super::Admin;
use crate::api::{
    AcquireLease, AcquiredLease, HeldLease, LEASES_PATH, LeaseStatus, RELEASE_PATH, RENEW_PATH,
};
use crate::lease::{DEFAULT_TTL, TTLS, Times};
use crate::registry::{AcquireError, LeaseError, Leases};

/// Those that only look.
pub(super) fn looking() -> Router<Arc<Admin>> {
    Router::new().route(LEASES_PATH, get(all))
}

/// Those that change who is a member.
pub(super) fn changing() -> Router<Arc<Admin>> {
    Router::new()
        .route(LEASES_PATH, post(acquire))
        .route(RENEW_PATH, post(renew))
        .route(RELEASE_PATH, post(release))
}

/// Says no, in a line.
struct No(StatusCode, String);

impl IntoResponse for No {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

impl From<LeaseError> for No {
    fn from(error: LeaseError) -> Self {
        let status = match error {
            LeaseError::Unknown { .. } => StatusCode::NOT_FOUND,
            LeaseError::Stale { .. } => StatusCode::CONFLICT,
            LeaseError::Member(_) => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

impl From<AcquireError> for No {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Refused(error) => error.into(),
            AcquireError::Store(error) => {
                tracing::error!(%error, "Lease cannot be kept");
                let text = "the lease cannot be kept: see the log of the control plane";
                Self(StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
            }
        }
    }
}

impl From<JsonRejection> for No {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

type Asked<T> = Result<Json<T>, JsonRejection>;

async fn all(State(admin): State<Arc<Admin>>) -> Result<Json<Vec<LeaseStatus>>, No> {
    Ok(Json(leases(&admin)?.status()))
}

async fn acquire(
    State(admin): State<Arc<Admin>>,
    asked: Asked<AcquireLease>,
) -> Result<Json<AcquiredLease>, No> {
    let Json(AcquireLease {
        id,
        address,
        weight,
        incarnation,
        ttl_ms,
    }) = asked?;
    let ttl = ttl_ms.map_or(DEFAULT_TTL, Duration::from_millis);
    if !TTLS.contains(&ttl) {
        let [from, to] = [TTLS.start(), TTLS.end()].map(Duration::as_millis);
        let text = format!(
            "ttl_ms {} is not usable: expected {from} to {to}",
            ttl.as_millis()
        );
        return Err(No(StatusCode::BAD_REQUEST, text));
    }
    let member = Member {
        incarnation,
        ..Member::new(id, address, weight)
    };
    let leases = leases(&admin)?;
    let token = off_the_loop(move || leases.acquire(member, ttl)).await??;
    Ok(Json(AcquiredLease {
        token,
        // Checked: an hour at most.
        ttl_ms: ttl.as_millis() as u64,
        renew_ms: Times::of(ttl).renew.as_millis() as u64,
    }))
}

async fn renew(State(admin): State<Arc<Admin>>, asked: Asked<HeldLease>) -> Result<Json<()>, No> {
    let Json(HeldLease { id, token }) = asked?;
    leases(&admin)?.renew(&id, token)?;
    Ok(Json(()))
}

async fn release(State(admin): State<Arc<Admin>>, asked: Asked<HeldLease>) -> Result<Json<()>, No> {
    let Json(HeldLease { id, token }) = asked?;
    let leases = leases(&admin)?;
    off_the_loop(move || leases.release(&id, token)).await??;
    Ok(Json(()))
}

fn leases(admin: &Admin) -> Result<Arc<Leases>, No> {
    let none = "this control plane gives no leases: registry.leases is not configured";
    let leases = admin.leases.clone();
    leases.ok_or_else(|| No(StatusCode::NOT_FOUND, none.to_owned()))
}

/// Waits for a disk.
async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, No> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| No(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}
