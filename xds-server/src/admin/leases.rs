//! Leases over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use sharding::Member;

use super::{Admin, Refusal};
use crate::api::{AcquireLease, AcquiredLease, HeldLease, LeaseStatus};
use crate::lease::{DEFAULT_TTL, TTLS, Times};
use crate::registry::{AcquireError, LeaseError, Leases};

impl From<LeaseError> for Refusal {
    fn from(error: LeaseError) -> Self {
        let status = match error {
            LeaseError::Unknown { .. } => StatusCode::NOT_FOUND,
            LeaseError::Stale { .. } => StatusCode::CONFLICT,
            LeaseError::Member(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error)
    }
}

impl From<AcquireError> for Refusal {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Refused(error) => error.into(),
            AcquireError::Store(error) => {
                tracing::error!(%error, "Lease cannot be kept");
                let text = "the lease cannot be kept: see the log of the control plane";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

type Asked<T> = Result<Json<T>, JsonRejection>;

type Answer<T> = Result<Json<T>, Refusal>;

/// All of them.
pub(super) async fn all(State(admin): State<Arc<Admin>>) -> Answer<Vec<LeaseStatus>> {
    Ok(Json(leases(&admin)?.status()))
}

/// Makes somebody a member, or has it be one in another incarnation.
pub(super) async fn acquire(
    State(admin): State<Arc<Admin>>,
    asked: Asked<AcquireLease>,
) -> Answer<AcquiredLease> {
    let AcquireLease {
        id,
        address,
        weight,
        incarnation,
        health_port,
        ttl_ms,
    } = understood(asked)?;
    let ttl = ttl_ms.map_or(DEFAULT_TTL, Duration::from_millis);
    if !TTLS.contains(&ttl) {
        let [from, to] = [TTLS.start(), TTLS.end()].map(Duration::as_millis);
        let text = format!(
            "ttl_ms {} is not usable: expected {from} to {to}",
            ttl.as_millis()
        );
        return Err(Refusal::bad_request(text));
    }
    let member = Member {
        incarnation,
        health_port,
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

/// Has a lease last its whole time again.
pub(super) async fn renew(State(admin): State<Arc<Admin>>, asked: Asked<HeldLease>) -> Answer<()> {
    let HeldLease { id, token } = understood(asked)?;
    leases(&admin)?.renew(&id, token)?;
    Ok(Json(()))
}

/// Takes a lease back.
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    asked: Asked<HeldLease>,
) -> Answer<()> {
    let HeldLease { id, token } = understood(asked)?;
    let leases = leases(&admin)?;
    off_the_loop(move || leases.release(&id, token)).await??;
    Ok(Json(()))
}

fn understood<T>(asked: Asked<T>) -> Result<T, Refusal> {
    match asked {
        Ok(Json(asked)) => Ok(asked),
        Err(rejection) => Err(Refusal::bad_request(rejection.body_text())),
    }
}

fn leases(admin: &Admin) -> Result<Arc<Leases>, Refusal> {
    let none = "this control plane gives no leases: registry.leases is not configured";
    let leases = admin.leases.clone();
    leases.ok_or_else(|| Refusal::not_found(none))
}

/// Waits for a disk.
async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(Refusal::internal)
}
