//! The lease of the agent: whether it has one, and what to do next.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;
use tracing::{error, info, warn};
use ureq::http::StatusCode;

use super::{Asked, ControlPlane};
use crate::api::{AcquireLease, AcquiredLease, HeldLease, LEASES_PATH, RELEASE_PATH, RENEW_PATH};
use crate::client::ClientError;
use crate::lease::Times;
use crate::token::TokenError;

/// Between two looks at the server's health, and between attempts that fail.
const AGAIN: Duration = Duration::from_millis(500);

/// Somebody else has registered under the same name.
#[derive(Debug, Error)]
#[error("{id:?} was registered by somebody else: {reason}")]
pub(super) struct Lost {
    id: String,
    reason: ClientError,
}

#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A member and its lease, if it has one.
pub(super) struct Held {
    asked: Asked,
    control_plane: ControlPlane,
    times: Times,
    lease: Option<Lease>,
    /// Why the last attempt failed.
    problem: Option<String>,
}

#[derive(Clone, Copy)]
struct Lease {
    token: u64,
    /// When the last request was sent that was answered well. It was got later,
    /// so that the control plane counts from later.
    since: Instant,
}

impl Held {
    pub(super) fn new(asked: Asked, control_plane: ControlPlane) -> Self {
        Self {
            times: Times::of(asked.ttl.into()),
            asked,
            control_plane,
            lease: None,
            problem: None,
        }
    }

    /// Does what is due, and says how long it may rest then.
    ///
    /// # Errors
    /// Somebody else has the name.
    pub(super) async fn step(&mut self) -> Result<Duration, Lost> {
        match self.lease {
            None => Ok(self.acquire().await),
            Some(lease) => self.renew(lease).await,
        }
    }

    async fn acquire(&mut self) -> Duration {
        if let Some(health) = self.asked.health.clone() {
            let checked = off_the_loop(move || Ok(health.check("")?)).await;
            if let Err(failed) = checked {
                self.note("Server is not healthy yet", &failed);
                return AGAIN;
            }
        }
        let Asked {
            id,
            address,
            weight,
            incarnation,
            health_port,
            ttl,
            ..
        } = self.asked.clone();
        let message = AcquireLease {
            id,
            address,
            weight,
            incarnation,
            health_port,
            ttl_ms: Some(ttl.as_millis() as u64),
        };
        let since = Instant::now();
        match self.ask(LEASES_PATH, &message).await {
            Ok(AcquiredLease { token, .. }) => {
                info!(member = %self.asked.id, address = %self.asked.address, token, "Registered");
                self.lease = Some(Lease { token, since });
                self.problem = None;
                self.times.renew
            }
            Err(failed) => {
                self.note("Registration failed", &failed);
                AGAIN
            }
        }
    }

    async fn renew(&mut self, lease: Lease) -> Result<Duration, Lost> {
        let since = Instant::now();
        let renewed = self.ask::<()>(RENEW_PATH, &self.message(lease)).await;
        let failed = match renewed {
            Ok(()) => {
                self.lease = Some(Lease { since, ..lease });
                self.problem = None;
                return Ok(self.times.renew.saturating_sub(since.elapsed()));
            }
            Err(failed) => failed,
        };
        match failed {
            Failed::Client(reason) if is(&reason, StatusCode::CONFLICT) => {
                self.lease = None;
                return Err(Lost {
                    id: self.asked.id.clone(),
                    reason,
                });
            }
            Failed::Client(reason) if is(&reason, StatusCode::NOT_FOUND) => {
                warn!(%reason, "Lease is gone, registering again");
                self.lease = None;
                return Ok(Duration::ZERO);
            }
            failed => self.note("Renewal failed", &failed),
        }
        if lease.since.elapsed() >= self.times.hard {
            error!(member = %self.asked.id, "No longer registered, as far as can be told from here");
            self.lease = None;
        }
        Ok(AGAIN.min(self.times.renew))
    }

    /// Gives it back, as well as that works.
    pub(super) async fn release(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        match self.ask::<()>(RELEASE_PATH, &self.message(lease)).await {
            Ok(()) => info!(member = %self.asked.id, "Deregistered"),
            Err(reason) => warn!(%reason, "Not deregistered: the lease has to expire"),
        }
    }

    fn message(&self, lease: Lease) -> HeldLease {
        HeldLease {
            id: self.asked.id.clone(),
            token: lease.token,
        }
    }

    async fn ask<T>(&self, path: &'static str, message: &impl serde::Serialize) -> Result<T, Failed>
    where
        T: DeserializeOwned + Send + 'static,
    {
        // A message of ours is always JSON.
        let message = serde_json::to_value(message).unwrap_or(Value::Null);
        let control_plane = Arc::clone(&self.control_plane);
        off_the_loop(move || Ok(control_plane()?.post(path, &message)?)).await
    }

    /// The same again is not said again.
    fn note(&mut self, what: &'static str, failed: &Failed) {
        let problem = failed.to_string();
        if self.problem.as_ref() != Some(&problem) {
            warn!(reason = %problem, "{what}");
            self.problem = Some(problem);
        }
    }
}

fn is(error: &ClientError, expected: StatusCode) -> bool {
    matches!(error, ClientError::Refused { status, .. } if *status == expected)
}

async fn off_the_loop<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
