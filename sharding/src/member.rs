//! Members, and the roster of those that serve now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most members of one roster: tables name a member by a 16-bit index.
pub const MAX_MEMBERS: usize = u16::MAX as usize;

/// Longest member id, in bytes: it travels in a header of every request.
const MAX_ID_LEN: usize = 255;

/// One document server that can own keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Stable name. It is the string that Envoy hashes for the host (endpoint
    /// metadata `envoy.lb`/`hash_key`), so a member that returns elsewhere
    /// under the same id gets the same keys.
    pub id: String,
    /// Where it serves now. Envoy takes no names here, so neither do we.
    pub address: SocketAddr,
    /// Relative share of the keys, at least 1.
    pub weight: u32,
    /// Tells one run of the server from the next, if the registry knows it: a
    /// server keeps what it has cached of a document for as long as it runs.
    /// It decides over no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Port at which it is asked for its health, if that is one of its own. It
    /// decides over no key, and is not handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_port: Option<NonZeroU16>,
    /// Where it runs, by the registry's name for such places, if the registry
    /// knows it. For people: it decides over no key, and proxies are not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Member {
    /// A member of which nothing is known but what decides over keys.
    #[must_use]
    pub fn new(id: impl Into<String>, address: SocketAddr, weight: u32) -> Self {
        Self {
            id: id.into(),
            address,
            weight,
            incarnation: None,
            health_port: None,
            zone: None,
        }
    }
}

/// Why a set of members cannot be a roster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RosterError {
    /// The id cannot travel in a header.
    #[error(
        "member id {0:?} is not usable: expected 1 to {MAX_ID_LEN} visible ASCII characters without blanks"
    )]
    BadId(String),
    /// Two members share an id, and with it a place in the table, which Envoy
    /// leaves undefined.
    #[error("member id {0:?} is given twice: ids must be unique")]
    DuplicateId(String),
    /// Two members share an address, which Envoy merges into one host.
    #[error(
        "address {address} is given to both {first:?} and {second:?}: addresses must be unique"
    )]
    DuplicateAddress {
        /// The shared address.
        address: SocketAddr,
        /// Id of the member that comes first by id.
        first: String,
        /// Id of the other.
        second: String,
    },
    /// Port 0, an unspecified IP or one with a scope: nothing can be reached
    /// there.
    #[error("member {id:?} has address {address}, which cannot be connected to")]
    BadAddress {
        /// Id of the member.
        id: String,
        /// Its address.
        address: SocketAddr,
    },
    /// A weight of 0.
    #[error(
        "member {0:?} has weight 0: expected at least 1 (remove the member to give it no keys)"
    )]
    ZeroWeight(String),
    /// Envoy refuses an assignment whose weights overflow 32 bits.
    #[error("weights sum to {0}: expected at most {max}", max = u32::MAX)]
    WeightSum(u64),
    /// More members than a table can name.
    #[error("{0} members: expected at most {MAX_MEMBERS}")]
    TooMany(usize),
}

/// The members that serve now: unique ids and addresses, sorted by id, so that
/// equal sets are equal rosters whatever order they were found in.
///
/// The order is part of the contract with Envoy: EDS lists the endpoints in
/// it, and the ring hash of unequal weights depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Member>", into = "Vec<Member>")]
pub struct Roster {
    members: Vec<Member>,
}

impl Roster {
    /// Checks and sorts `members`. None at all is a valid roster that owns no
    /// key.
    ///
    /// # Errors
    /// The first rule of [`RosterError`] that a member breaks.
    pub fn new(mut members: Vec<Member>) -> Result<Self, RosterError> {
        if members.len() > MAX_MEMBERS {
            return Err(RosterError::TooMany(members.len()));
        }
        for member in &mut members {
            // An IPv4 address spelled as IPv6 is still the same server.
            member.address.set_ip(member.address.ip().to_canonical());
        }
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let mut ids = BTreeSet::new();
        let mut addresses = BTreeMap::new();
        for member in &members {
            check_member(member)?;
            if !ids.insert(member.id.as_str()) {
                return Err(RosterError::DuplicateId(member.id.clone()));
            }
            if let Some(first) = addresses.insert(member.address, member.id.as_str()) {
                return Err(RosterError::DuplicateAddress {
                    address: member.address,
                    first: first.to_owned(),
                    second: member.id.clone(),
                });
            }
        }
        let sum = members.iter().map(|member| u64::from(member.weight)).sum();
        if sum > u64::from(u32::MAX) {
            return Err(RosterError::WeightSum(sum));
        }
        Ok(Self { members })
    }

    /// The same without zones, which are for people and no filter's business.
    #[must_use]
    pub fn without_zones(&self) -> Self {
        let without = |member: &Member| Member {
            zone: None,
            ..member.clone()
        };
        Self {
            members: self.members.iter().map(without).collect(),
        }
    }

    /// The members, ascending by id (bytewise).
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Member> {
        let index = self
            .members
            .binary_search_by(|member| member.id.as_str().cmp(id))
            .ok()?;
        self.members.get(index)
    }

    /// Each member's share of the total weight, in roster order, as Envoy
    /// normalises it for a locality (`f64`).
    pub(crate) fn normalized_weights(&self) -> Vec<f64> {
        let sum: u64 = self
            .members
            .iter()
            .map(|member| u64::from(member.weight))
            .sum();
        self.members
            .iter()
            .map(|member| f64::from(member.weight) / sum as f64)
            .collect()
    }
}

impl TryFrom<Vec<Member>> for Roster {
    type Error = RosterError;

    fn try_from(members: Vec<Member>) -> Result<Self, Self::Error> {
        Self::new(members)
    }
}

impl From<Roster> for Vec<Member> {
    fn from(roster: Roster) -> Self {
        roster.members
    }
}

fn check_member(member: &Member) -> Result<(), RosterError> {
    let usable = !member.id.is_empty()
        && member.id.len() <= MAX_ID_LEN
        && member.id.bytes().all(|byte| byte.is_ascii_graphic());
    if !usable {
        return Err(RosterError::BadId(member.id.clone()));
    }
    if member.weight == 0 {
        return Err(RosterError::ZeroWeight(member.id.clone()));
    }
    // Envoy takes no scope, and without it a link-local address could be anybody.
    let has_scope = matches!(member.address, SocketAddr::V6(v6) if v6.scope_id() != 0);
    if member.address.port() == 0 || member.address.ip().is_unspecified() || has_scope {
        return Err(RosterError::BadAddress {
            id: member.id.clone(),
            address: member.address,
        });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn member(id: &str, port: u16, weight: u32) -> Member {
        Member::new(id, SocketAddr::from(([127, 0, 0, 1], port)), weight)
    }

    #[test]
    fn equal_sets_of_members_are_equal_rosters() {
        let (a, b) = (member("a", 1, 1), member("b", 2, 1));
        assert_eq!(
            Roster::new(vec![a.clone(), b.clone()]),
            Roster::new(vec![b, a])
        );
    }

    #[test]
    fn every_rule_names_the_member_that_breaks_it() {
        let cases = [
            (vec![member("", 1, 1)], "member id \"\" is not usable"),
            (vec![member("a b", 1, 1)], "member id \"a b\" is not usable"),
            (
                vec![member("a", 1, 1), member("a", 2, 1)],
                "member id \"a\" is given twice",
            ),
            (
                vec![member("b", 1, 1), member("a", 1, 1)],
                "address 127.0.0.1:1 is given to both \"a\" and \"b\"",
            ),
            (
                vec![member("a", 0, 1)],
                "member \"a\" has address 127.0.0.1:0",
            ),
            (vec![member("a", 1, 0)], "member \"a\" has weight 0"),
            (
                vec![member("a", 1, u32::MAX), member("b", 2, 1)],
                "weights sum to 4294967296",
            ),
        ];
        for (members, message) in cases {
            let error = Roster::new(members).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn two_spellings_of_one_address_are_one_address() {
        let at = |id: &str, address: &str| Member::new(id, address.parse().unwrap(), 1);
        let twice = vec![at("a", "10.0.0.1:1"), at("b", "[::ffff:10.0.0.1]:1")];
        assert!(matches!(
            Roster::new(twice),
            Err(RosterError::DuplicateAddress { .. })
        ));
        let scoped = vec![at("a", "[fe80::1%1]:1")];
        assert!(matches!(
            Roster::new(scoped),
            Err(RosterError::BadAddress { .. })
        ));
    }

    #[test]
    fn members_are_found_by_id() {
        let roster =
            Roster::new((1..50).map(|n| member(&format!("m{n}"), n, 1)).collect()).unwrap();
        for n in 1..50 {
            assert_eq!(
                roster.get(&format!("m{n}")).map(|m| m.address.port()),
                Some(n)
            );
        }
        assert_eq!(roster.get("m50"), None);
    }
}
