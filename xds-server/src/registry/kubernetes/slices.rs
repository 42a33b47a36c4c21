//! The slices of a service, and the members that they say together.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::WatchEvent;
use sharding::{Roster, RosterError};

use super::cluster::ClusterError;
use super::endpoints::{Candidate, Reading, Which};

/// The slices as they were told, by name.
#[derive(Debug)]
pub(super) struct Slices {
    reading: Reading,
    all: BTreeMap<String, EndpointSlice>,
}

/// What the slices say together.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) roster: Roster,
    /// Ids of those whose pod was told to end.
    pub(super) leaving: BTreeSet<String>,
    pub(super) terminating: usize,
    pub(super) unready: usize,
    pub(super) refused: Vec<Refused>,
}

/// An endpoint that is no member, or not as it stands; or a whole slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) slice: String,
    pub(super) reason: String,
}

impl Slices {
    pub(super) fn new(reading: Reading) -> Self {
        Self {
            reading,
            all: BTreeMap::new(),
        }
    }

    /// These are all.
    ///
    /// # Errors
    /// [`ClusterError::Garbage`] for a slice without a name; nothing is changed.
    pub(super) fn replace(&mut self, all: Vec<EndpointSlice>) -> Result<(), ClusterError> {
        let named = |slice| Ok((name(&slice)?, slice));
        self.all = all.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// This has happened. Returns the version of the history from then on.
    ///
    /// # Errors
    /// [`ClusterError::Garbage`] for a slice without a name or a version.
    pub(super) fn apply(
        &mut self,
        event: WatchEvent<EndpointSlice>,
    ) -> Result<String, ClusterError> {
        let version = match &event {
            WatchEvent::Added(slice) | WatchEvent::Modified(slice) | WatchEvent::Deleted(slice) => {
                slice.metadata.resource_version.clone()
            }
            WatchEvent::Bookmark(mark) => Some(mark.metadata.resource_version.clone()),
            WatchEvent::Error(_) => None,
        };
        let version = version.filter(|version| !version.is_empty());
        let version = version.ok_or(ClusterError::Garbage("an event has no version"))?;
        match event {
            WatchEvent::Added(slice) | WatchEvent::Modified(slice) => {
                self.all.insert(name(&slice)?, slice);
            }
            WatchEvent::Deleted(slice) => drop(self.all.remove(&name(&slice)?)),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
        }
        Ok(version)
    }

    /// Each pod counts once, however many slices it is in. Of pods with one name,
    /// or at one address, that of the slice that was written last counts: the
    /// other is gone, and its slice not rewritten yet.
    ///
    /// # Errors
    /// More members than a roster can have.
    pub(super) fn found(&self) -> Result<Found, RosterError> {
        let (mut candidates, mut refused) = (BTreeMap::new(), Vec::new());
        for (name, slice) in &self.all {
            let (more, but) = self.reading.candidates(name, slice);
            for one in more {
                add(&mut candidates, one);
            }
            refused.extend(but);
        }
        let mut candidates: Vec<_> = candidates.into_values().collect();
        candidates.sort_by_key(|candidate| Reverse(candidate.written));
        let mut found = Found {
            roster: Roster::default(),
            leaving: BTreeSet::new(),
            terminating: 0,
            unready: 0,
            refused,
        };
        let mut ids = HashMap::<String, String>::new();
        let mut addresses = HashMap::<SocketAddr, String>::new();
        let mut members = Vec::new();
        for candidate in candidates {
            if candidate.is_terminating {
                found.terminating += 1;
                found.leaving.insert(candidate.member.id);
                continue;
            }
            if !self.reading.counts(&candidate) {
                found.unready += 1;
                continue;
            }
            let Candidate { member, slice, .. } = candidate;
            let known = ids.get(&member.id);
            if let Some(newer) = known.or_else(|| addresses.get(&member.address)) {
                let (id, address) = (&member.id, member.address);
                found.refused.push(Refused {
                    slice,
                    reason: format!("{id:?} at {address}: {newer} is newer and has one of both"),
                });
                continue;
            }
            ids.insert(member.id.clone(), slice.clone());
            addresses.insert(member.address, slice);
            members.push(member);
        }
        found.roster = Roster::new(members)?;
        Ok(found)
    }
}

/// An endpoint that moves from slice to slice is in both for a moment. That it
/// terminates is never taken back; as to whether it is ready, the copy counts
/// by which it stays.
fn add(candidates: &mut BTreeMap<Which, Candidate>, one: Candidate) {
    match candidates.entry(one.which()) {
        Entry::Vacant(vacant) => drop(vacant.insert(one)),
        Entry::Occupied(mut copy) => {
            let copy = copy.get_mut();
            copy.is_ready |= one.is_ready;
            copy.is_terminating |= one.is_terminating;
            if one.written > copy.written {
                (copy.written, copy.slice) = (one.written, one.slice);
            }
        }
    }
}

fn name(slice: &EndpointSlice) -> Result<String, ClusterError> {
    let name = slice.metadata.name.clone().filter(|name| !name.is_empty());
    name.ok_or(ClusterError::Garbage("a slice has no name"))
}

#[cfg(test)]
mod tests;
