//! How long a lease lasts, on either side.
//!
//! Whoever registers and the control plane each measure on their own monotonic
//! clock, from what they did themselves: the one from when it sent its last
//! renewal that was answered, the other from when it got it, which is later. No
//! two machines' clocks are compared.
//!
//! The four moments of a lease come in this order, whatever its length, and far
//! enough from each other for clocks that run differently:
//!
//! ```
//! use std::time::Duration;
//! use xds_server::lease::{DEFAULT_TTL, MAX_TTL, MIN_TTL, Times};
//!
//! for ttl in [MIN_TTL, DEFAULT_TTL, MAX_TTL] {
//!     let Times { renew, soft, hard, expire } = Times::of(ttl);
//!     assert!(renew < soft && soft < hard && hard < expire);
//!     // One renewal may be lost before anybody notices, and the next as well
//!     // before the member gives up.
//!     assert!(2 * renew <= soft && soft + renew <= hard);
//!     // A clock may be a quarter too slow, and its owner still gives up first.
//!     assert!(hard * 5 / 4 <= expire);
//!     assert_eq!(expire, ttl);
//! }
//!
//! // As the manual has them.
//! let Times { renew, soft, hard, expire } = Times::of(DEFAULT_TTL);
//! assert_eq!([renew, soft, hard, expire].map(|time| time.as_secs()), [3, 6, 12, 15]);
//! ```

use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a lease lasts unless whoever acquires it says so.
pub const DEFAULT_TTL: Duration = Duration::from_secs(15);

/// The shortest lease.
pub const MIN_TTL: Duration = Duration::from_secs(1);

/// The longest lease.
pub const MAX_TTL: Duration = Duration::from_hours(1);

/// Both.
pub(crate) const TTLS: RangeInclusive<Duration> = MIN_TTL..=MAX_TTL;

/// What happens when, since the last renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// It is renewed.
    pub renew: Duration,
    /// The control plane says that it is late.
    pub soft: Duration,
    /// Whoever holds it must not think so any longer.
    pub hard: Duration,
    /// The control plane takes it away.
    pub expire: Duration,
}

impl Times {
    /// Those of a lease of that length.
    #[must_use]
    pub fn of(ttl: Duration) -> Self {
        Self {
            renew: ttl / 5,
            soft: ttl * 2 / 5,
            hard: ttl * 4 / 5,
            expire: ttl,
        }
    }
}
