//! What a plan starts from, and all that it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sharding::Assignment;

use super::{Plan, Returning, Streams, returning};
use crate::rebalance::machine::{Pace, Past};

/// What a plan starts from.
#[derive(Debug)]
pub struct PlanBasis {
    /// The present assignment.
    pub before: Assignment,
    /// Those before it.
    pub past: Vec<Past>,
    /// Open streams by member; known of a running server only.
    pub open: Option<BTreeMap<String, u64>>,
    /// How streams are paced; `None` when they are not drained.
    pub pace: Option<Pace>,
    /// How long proxies take to take over an assignment.
    pub hold_ms: u64,
}

/// A plan, and what follows from it for caches and open streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Which keys move.
    #[serde(flatten)]
    pub plan: Plan,
    /// Who gets back keys that it had in the same incarnation.
    pub returning: Vec<Returning>,
    /// Which streams have to end; absent when it is not known which are open.
    pub streams: Option<Streams>,
}

impl PlanBasis {
    /// What moves on the way to `after`, whose roster may not be empty.
    #[must_use]
    pub fn plan(&self, after: &Assignment) -> Planned {
        let plan = Plan::between(&self.before, after);
        let open = self.open.as_ref();
        Planned {
            streams: open.map(|open| plan.streams(open, self.pace, self.hold_ms)),
            returning: returning(&self.before, after, &self.past),
            plan,
        }
    }
}
