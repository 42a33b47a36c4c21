//! Answers that need the table of the present assignment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sharding::{Assignment, FilterConfig, Resource};
use tokio::task::spawn_blocking;

use super::{Admin, Refusal};
use crate::api::{AssignmentStatus, Owner, OwnerError};
use crate::rebalance::machine::Settings;
use crate::rebalance::{PlanBasis, Planned, Proposal, shares};

/// Share of all keys by member.
pub(super) type Shares = Arc<BTreeMap<String, f64>>;

/// The present assignment, and what follows from it alone.
#[derive(Debug, Clone)]
pub(super) struct Present {
    assignment: Arc<Assignment>,
    shares: Shares,
}

impl Admin {
    pub(super) fn assignment(&self) -> Option<AssignmentStatus> {
        let shown = self.board.read();
        let hold_ms = shown.usual_hold_ms();
        let settings = Settings::from(&self.in_force.borrow().config);
        let current = shown.current?;
        Some(AssignmentStatus {
            epoch: current.epoch,
            policy: current.policy,
            members: current.members.clone().unwrap_or_default(),
            past: shown.past.to_vec(),
            open: self.fleet.open_by_member(Instant::now()),
            pace: settings.pace,
            hold_ms: hold_ms.unwrap_or(settings.ack_wait_ms()),
        })
    }

    pub(super) async fn owner(
        &self,
        key: String,
        resource: Option<Resource>,
    ) -> Result<Owner, Refusal> {
        let current = self.board.read().current.ok_or_else(Refusal::not_ready)?;
        let present = self
            .present(&current)
            .await
            .ok_or_else(Refusal::not_ready)?;
        match Owner::of(&present.assignment, &key, resource) {
            Ok(owner) => Ok(Owner {
                epoch: Some(current.epoch),
                ..owner
            }),
            Err(error @ OwnerError::Key(_)) => Err(Refusal::bad_request(error)),
            Err(OwnerError::NoMembers) => Err(Refusal::not_ready()),
        }
    }

    /// One at a time: for large tables it is the work of seconds.
    pub(super) async fn plan(&self, proposal: Proposal) -> Result<Planned, Refusal> {
        let _turn = self.planning.lock().await;
        let present = self.assignment().ok_or_else(Refusal::not_ready)?;
        let planned = spawn_blocking(move || {
            let basis = PlanBasis {
                before: Assignment::new(present.epoch, present.policy, present.members),
                past: present.past,
                open: Some(present.open),
                pace: present.pace,
                hold_ms: present.hold_ms,
            };
            let after = proposal.apply(&basis.before)?;
            Ok(basis.plan(&after))
        });
        planned
            .await
            .map_err(Refusal::internal)?
            .map_err(|error: crate::rebalance::ProposalError| Refusal::bad_request(error))
    }

    pub(super) async fn shares(&self, current: &FilterConfig) -> Option<Shares> {
        Some(self.present(current).await?.shares)
    }

    /// Its table is built when it is first asked for.
    async fn present(&self, current: &FilterConfig) -> Option<Present> {
        let mut known = self.present.lock().await;
        if let Some(present) = &*known
            && present.assignment.epoch() == current.epoch
        {
            return Some(present.clone());
        }
        let assignment = Arc::new(current.assignment()?);
        let compute = spawn_blocking(move || Present {
            shares: Arc::new(shares(&assignment)),
            assignment,
        });
        let present = compute.await.ok()?;
        *known = Some(present.clone());
        Some(present)
    }
}
