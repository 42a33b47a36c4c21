//! What goes into the machine, and what comes out.

use serde::{Deserialize, Serialize};
use sharding::{FilterConfig, Policy, Roster};

use super::Settings;
use crate::rebalance::record::{PlanSummary, Record};

/// What the machine is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// The registry has a roster. The first one is taken at once.
    Roster {
        /// The members.
        roster: Roster,
        /// Whether it cannot wait: a member was ejected. Its streams end all at
        /// once.
        urgent: bool,
    },
    /// What was computed for [`Effect::Plan`].
    Planned {
        /// Epoch that it was asked under.
        epoch: u64,
        /// The plan.
        plan: PlanSummary,
    },
    /// Somebody has asked for other settings: what they change of what filters are
    /// told is not awaited, as a roster is.
    Settings {
        /// How long it waits, and how it paces.
        settings: Settings,
        /// What filters are told that depends on no member.
        template: Box<FilterConfig>,
    },
    /// Time has passed, or something is new of the proxies.
    Look,
}

/// What the machine wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hand it to all proxies, and keep it over restarts: an assignment first, if
    /// that is quickly done. The view of the next event has to be of that snapshot.
    Publish(Box<FilterConfig>),
    /// Compute what moves from the newest of [`Machine::past`](super::Machine::past) to the present
    /// assignment; without an answer the machine goes on all the same.
    Plan,
    /// A rebalance is over.
    Finished(Box<Record>),
}

/// What the machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing.
    Stable,
    /// Waiting for changes to end.
    Settling,
    /// Waiting for proxies to route.
    Holding,
    /// Waiting for streams to end.
    Draining,
}

/// An earlier assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Its number.
    pub epoch: u64,
    /// How keys were spread.
    pub policy: Policy,
    /// Over whom.
    pub members: Roster,
}

impl Past {
    /// The assignment in a message, if it has members.
    pub(super) fn of(config: FilterConfig) -> Option<Self> {
        Some(Self {
            epoch: config.epoch,
            policy: config.policy,
            members: config.members?,
        })
    }
}
