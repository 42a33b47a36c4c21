//! What the control plane has handed out, through all its starts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use sharding::{Assignment, FilterConfig, Roster};
use yorkies_tests::{ControlPlane, HandedOut, LogLine};

/// Everything since the last moment at which all agreed.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// In the order in which it was handed out.
    pub(crate) all: Vec<HandedOut>,
    /// Where what the present start has handed out begins.
    start: usize,
}

impl Handed {
    /// Notes what it tells of its present start.
    pub(crate) async fn ask(&mut self, control_plane: &ControlPlane) {
        // One that has no roster has no assignment to tell of.
        for (epoch, assignment) in control_plane.published().await.unwrap_or_default() {
            self.note(epoch, Some(assignment));
        }
    }

    /// Notes what it logged before it was killed.
    pub(crate) fn read(&mut self, log: &[LogLine]) {
        let published = log
            .iter()
            .filter(|line| line.message() == "Assignment changed");
        for epoch in published.filter_map(|line| line.number("epoch")) {
            self.note(epoch, None);
        }
    }

    /// Notes that it starts and may hand out what its state file has.
    pub(crate) fn restart(&mut self, state_file: &Path) {
        self.start = self.all.len();
        let state = fs::read(state_file).ok();
        let state = state.and_then(|state| FilterConfig::from_json(&state).ok());
        if let Some(FilterConfig {
            epoch,
            policy,
            members: Some(members),
            ..
        }) = state.map(|decoded| decoded.config)
        {
            self.note(epoch, Some(Assignment::new(epoch, policy, members)));
        }
    }

    /// Forgets all but what was handed out last, which everybody has.
    pub(crate) fn agreed(&mut self) {
        self.all = self.all.pop().into_iter().collect();
        self.start = 0;
    }

    /// Fails if members were handed out that nobody has ever written so.
    pub(crate) fn expect_written(&self, written: &[Roster]) -> Result<()> {
        for HandedOut { epoch, assignment } in &self.all {
            let roster = assignment.as_ref().map(Assignment::roster);
            let is_written = roster.is_none_or(|roster| written.contains(roster));
            ensure!(is_written, "made up, as of epoch {epoch}: {roster:?}");
        }
        Ok(())
    }

    /// How many there are, and of how many it is not known what they were.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let epochs: BTreeSet<_> = self.all.iter().map(|handed| handed.epoch).collect();
        let is_unknown = |handed: &&HandedOut| handed.assignment.is_none();
        (epochs.len(), self.all.iter().filter(is_unknown).count())
    }

    fn note(&mut self, epoch: u64, assignment: Option<Assignment>) {
        // It also tells what was before the moment at which all agreed.
        let first = self.all.get(self.start);
        if first.is_some_and(|first| epoch < first.epoch) {
            return;
        }
        let mut present = self.all.iter_mut().skip(self.start);
        match present.find(|handed| handed.epoch == epoch) {
            None => self.all.push(HandedOut { epoch, assignment }),
            Some(known) if known.assignment.is_none() => known.assignment = assignment,
            Some(_) => {}
        }
    }
}
