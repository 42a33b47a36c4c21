//! What the machine is set to, and what time it is.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::Config;

/// How long proxies may take to be known to a restarted control plane. Their
/// VMs report at least every 5 s, also when nothing has changed for them; the
/// bootstraps given here pause for 3 s at most before they connect again.
const RETURN_WAIT: Duration = Duration::from_secs(6);

/// How long the machine waits, and how it paces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// See [`crate::config::Rebalance::settle`].
    pub settle: Duration,
    /// See [`crate::config::Rebalance::settle_max`].
    pub settle_max: Duration,
    /// See [`crate::config::Rebalance::ack_wait`].
    pub ack_wait: Duration,
    /// See [`crate::config::Rebalance::finish_wait`].
    pub finish_wait: Duration,
    /// After a restart, how long proxies may take to come back: until then
    /// nothing is released, since who is not connected is not known.
    pub return_wait: Duration,
    /// How streams are paced; `None` leaves them where they are.
    pub pace: Option<Pace>,
}

impl Settings {
    /// The same as [`ack_wait`](Self::ack_wait), in milliseconds.
    #[must_use]
    pub fn ack_wait_ms(&self) -> u64 {
        super::ms(self.ack_wait)
    }
}

/// How streams that have to end are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Streams per second.
    pub rate: u32,
    /// Longest window.
    pub max_window_ms: u64,
}

impl Pace {
    /// The window in which that many streams end, in milliseconds.
    #[must_use]
    pub fn window_ms(self, streams: u64) -> u64 {
        let window = u128::from(streams) * 1000 / u128::from(self.rate.max(1));
        u64::try_from(window).map_or(self.max_window_ms, |window| window.min(self.max_window_ms))
    }
}

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For waiting.
    pub instant: Instant,
    /// For epochs and for people.
    pub unix_ms: u64,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let (rebalance, drain) = (&config.rebalance, &config.drain);
        let pace = Pace {
            rate: drain.rate,
            max_window_ms: super::ms(drain.max_window),
        };
        Self {
            settle: rebalance.settle,
            settle_max: rebalance.settle_max,
            ack_wait: rebalance.ack_wait,
            finish_wait: rebalance.finish_wait,
            return_wait: RETURN_WAIT,
            pace: drain.enabled.then_some(pace),
        }
    }
}
