//! JSON lines on standard output: what was served, by whom, when.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// When something happened, on both clocks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moment {
    /// Unix time in milliseconds.
    pub wall_ms: u64,
    /// The machine's monotonic clock in nanoseconds, the same one for all
    /// processes on a machine.
    pub monotonic_ns: u64,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let seconds = u64::try_from(monotonic.tv_sec).unwrap_or_default();
        let nanoseconds = u64::try_from(monotonic.tv_nsec).unwrap_or_default();
        Self {
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            monotonic_ns: seconds * 1_000_000_000 + nanoseconds,
        }
    }
}

/// Writes one line. When nobody reads standard output any more, the line is
/// lost; serving goes on.
pub fn line(entry: &impl Serialize) {
    if let Ok(mut text) = serde_json::to_vec(entry) {
        text.push(b'\n');
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(&text).and_then(|()| out.flush());
    }
}
