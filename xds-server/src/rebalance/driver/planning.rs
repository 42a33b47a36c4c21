//! A plan that is computed beside everything else: large tables take a while.

use std::collections::BTreeMap;
use std::time::Duration;

use sharding::{Assignment, FilterConfig};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::rebalance::machine::{Event, Machine, Past};
use crate::rebalance::plan::{Plan, returning};
use crate::rebalance::record::PlanSummary;

/// Proxies come first: they are sent the assignment by the same processors, and
/// the plan only tells people what they see.
const HEAD_START: Duration = Duration::from_millis(250);

/// The plan of the rebalance under way.
#[derive(Debug, Default)]
pub(super) struct Planning(Option<JoinHandle<Result<Planned, JoinError>>>);

/// The epoch and what it moves.
type Planned = (u64, PlanSummary);

impl Planning {
    /// Starts on the present assignment of `machine`; of a first one there is
    /// no plan. Streams are `open` by member, and proxies are expected to need
    /// `hold_ms`.
    pub(super) fn start(machine: &Machine, open: BTreeMap<String, u64>, hold_ms: u64) -> Self {
        let pace = machine.settings().pace;
        let past: Vec<Past> = machine.past().cloned().collect();
        let after = machine.current().and_then(FilterConfig::assignment);
        let task = past.last().cloned().zip(after).map(|(before, after)| {
            let plan = move || {
                let before = Assignment::new(0, before.policy, before.members);
                let plan = Plan::between(&before, &after);
                let streams = plan.streams(&open, pace, hold_ms);
                let returning = returning(&before, &after, &past);
                let summary = PlanSummary {
                    moved: plan.moved,
                    ideal: plan.ideal,
                    streams: streams.ending,
                    split_ms: streams.split_ms,
                    returning: returning.iter().fold(0.0, |sum, member| sum + member.share),
                };
                (after.epoch(), summary)
            };
            tokio::spawn(async move {
                sleep(HEAD_START).await;
                spawn_blocking(plan).await
            })
        });
        Self(task)
    }

    /// The result, once it is there.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let Some(task) = &mut self.0 else {
            return std::future::pending().await;
        };
        let result = task.await;
        self.0 = None;
        let (epoch, plan) = result.ok()?.ok()?;
        Some(Event::Planned { epoch, plan })
    }
}
