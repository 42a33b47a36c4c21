//! From keys to members.

use std::collections::{BTreeMap, HashMap, HashSet};

use sharding::{Member, Roster, RosterError};

use super::protocol::{Event, EventKind, KeyValue};
use crate::registry::entry::Entry;

/// The keys under a prefix, as they were told.
#[derive(Debug)]
pub(super) struct Rows {
    prefix: Vec<u8>,
    rows: BTreeMap<Vec<u8>, Row>,
}

#[derive(Debug)]
struct Row {
    created: i64,
    /// The last good one, while the key is there.
    member: Option<Member>,
    /// Why its value is not good now.
    problem: Option<String>,
}

/// What the rows say together.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) roster: Roster,
    pub(super) refused: Vec<Refused>,
}

/// A row that does not count, or not as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) key: String,
    pub(super) reason: String,
}

impl Rows {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.as_bytes().to_vec(),
            rows: BTreeMap::new(),
        }
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// These are all.
    pub(super) fn replace(&mut self, all: Vec<KeyValue>) {
        let mut known = std::mem::take(&mut self.rows);
        for row in all {
            if let Some(known) = known.remove(&row.key) {
                self.rows.insert(row.key.clone(), known);
            }
            self.put(row);
        }
    }

    /// This has happened, in this order.
    pub(super) fn apply(&mut self, events: Vec<Event>) {
        for event in events {
            let kind = event.kind();
            match (kind, event.kv) {
                (EventKind::Put, Some(row)) => self.put(row),
                (EventKind::Delete, Some(row)) => drop(self.rows.remove(&row.key)),
                (_, None) => {}
            }
        }
    }

    fn put(&mut self, row: KeyValue) {
        let created = row.create_revision;
        let known = self.rows.remove(&row.key);
        let known = known.filter(|known| known.created == created);
        let (member, problem) = match self.member(&row) {
            Ok(member) => (Some(member), None),
            Err(problem) => (known.and_then(|known| known.member), Some(problem)),
        };
        let new = Row {
            created,
            member,
            problem,
        };
        self.rows.insert(row.key, new);
    }

    fn member(&self, row: &KeyValue) -> Result<Member, String> {
        let entry: Entry = serde_json::from_slice(&row.value).map_err(|error| error.to_string())?;
        let rest = row.key.strip_prefix(&*self.prefix).unwrap_or(&row.key);
        let member = entry.into_member(String::from_utf8_lossy(rest).into_owned());
        // Of what can be wrong with a roster, most is wrong with one member.
        let alone = Roster::new(vec![member]).map_err(|error| error.to_string())?;
        let mut members = Vec::from(alone);
        members.pop().ok_or_else(String::new)
    }

    /// Of rows with the same id, or at the same address, the one that was made
    /// last counts: a server that was started again registers anew while the
    /// lease of its last run has not expired.
    ///
    /// # Errors
    /// More members, or more weight, than a roster can have.
    pub(super) fn found(&self) -> Result<Found, RosterError> {
        let mut newest_first: Vec<_> = self.rows.iter().collect();
        newest_first.sort_by_key(|(_, row)| std::cmp::Reverse(row.created));
        let (mut ids, mut addresses) = (HashMap::new(), HashMap::new());
        let (mut members, mut refused) = (Vec::new(), Vec::new());
        for (key, row) in newest_first {
            let key = shown(key);
            if let Some(problem) = &row.problem {
                refused.push(Refused {
                    key: key.clone(),
                    reason: problem.clone(),
                });
            }
            let Some(member) = &row.member else { continue };
            let newer = ids
                .get(&member.id)
                .or_else(|| addresses.get(&member.address));
            if let Some(newer) = newer {
                let Member { id, address, .. } = member;
                let reason = format!("{id:?} at {address}: {newer} is newer and has one of both");
                refused.push(Refused { key, reason });
                continue;
            }
            ids.insert(member.id.clone(), key.clone());
            addresses.insert(member.address, key);
            members.push(member.clone());
        }
        let roster = Roster::new(members)?;
        Ok(Found { roster, refused })
    }
}

/// A key may be any bytes.
pub(super) fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// The ids that a roster has and another has not.
pub(super) fn missing<'a>(from: &Roster, of: &'a Roster) -> Vec<&'a str> {
    let there: HashSet<&str> = ids(from).collect();
    ids(of).filter(|id| !there.contains(id)).collect()
}

fn ids(roster: &Roster) -> impl Iterator<Item = &str> {
    roster.members().iter().map(|member| member.id.as_str())
}

#[cfg(test)]
mod tests;
