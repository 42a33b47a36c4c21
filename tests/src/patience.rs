//! Waiting for what must come to pass, without guessing how long it takes.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Environment variable with the patience in seconds; slow machines raise it.
const PATIENCE: &str = "YORKIES_TEST_PATIENCE";

const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// A test may wait several times, but not for ever: its limit in patiences.
const PATIENCES_PER_TEST: u32 = 8;

/// Polls are quick at first and then leave the processors to those waited for.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How long one expectation may take to come true.
#[must_use]
pub fn patience() -> Duration {
    env::var(PATIENCE)
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .map_or(DEFAULT_PATIENCE, Duration::from_secs)
}

/// How long a whole test may take.
pub(crate) fn limit_per_test() -> Duration {
    patience() * PATIENCES_PER_TEST
}

/// Tries until it works, or patience is out: then the error says `what` was
/// waited for and why the last attempt failed.
pub async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + patience();
    let mut pause = FIRST_PAUSE;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error)
                    .with_context(|| format!("after {:?} still not {what}", patience()));
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
