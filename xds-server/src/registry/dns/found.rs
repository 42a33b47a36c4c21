//! From records to members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sharding::{Member, Roster};

use super::{DnsError, MAX_RECORDS};

/// What a look-up found, and how long it may be kept.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::registry) struct Found {
    pub(in crate::registry) roster: Roster,
    /// The shortest of all records that it was made from.
    pub(in crate::registry) ttl: Duration,
}

/// Addresses that a name has, and for how many seconds at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) ips: BTreeSet<IpAddr>,
    pub(super) ttl: u32,
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// In small letters, without the final dot.
    pub(super) target: String,
    pub(super) ttl: u32,
}

/// A member for each address, at the same port and of weight 1. Its id is its
/// address with the port, as by default in a members file.
pub(super) fn of_addresses(
    name: &str,
    addresses: &Addresses,
    port: u16,
) -> Result<Found, DnsError> {
    check_count(name, addresses.ips.len())?;
    let mut members = Vec::new();
    for &ip in &addresses.ips {
        check_address(name, ip)?;
        let address = SocketAddr::new(ip, port);
        members.push(Member::new(address.to_string(), address, 1));
    }
    found(name, members, addresses.ttl)
}

/// The services that members are made of: those of the lowest priority, as the
/// others are for when these fail, and members do not fail by record.
pub(super) fn preferred(name: &str, services: Vec<Service>) -> Result<Vec<Service>, DnsError> {
    check_count(name, services.len())?;
    let lowest = services.iter().map(|service| service.priority).min();
    let mut preferred = BTreeMap::<String, Service>::new();
    for service in services {
        if Some(service.priority) != lowest {
            continue;
        }
        let known = preferred
            .entry(service.target.clone())
            .or_insert_with(|| service.clone());
        if (known.port, known.weight) != (service.port, service.weight) {
            return Err(DnsError::Twice {
                target: service.target,
            });
        }
    }
    Ok(preferred.into_values().collect())
}

/// A member for each service, at the one address that its target has. Its id is
/// the target.
pub(super) fn of_services(
    name: &str,
    services: &[Service],
    addresses: &BTreeMap<String, Addresses>,
) -> Result<Found, DnsError> {
    let mut members = Vec::new();
    let mut ttl = u32::MAX;
    for service in services {
        let target = &service.target;
        let of_target = addresses.get(target);
        let mut ips = of_target.into_iter().flat_map(|of| &of.ips);
        let (Some(&ip), None) = (ips.next(), ips.next()) else {
            return Err(DnsError::Addresses {
                target: target.clone(),
                count: of_target.map_or(0, |of| of.ips.len()),
            });
        };
        check_address(target, ip)?;
        // Without weights all are 0, which means that they do not matter.
        let weight = u32::from(service.weight).max(1);
        let address = SocketAddr::new(ip, service.port);
        members.push(Member::new(target, address, weight));
        ttl = ttl.min(service.ttl);
        ttl = of_target.map_or(ttl, |of| ttl.min(of.ttl));
    }
    found(name, members, ttl)
}

fn found(name: &str, members: Vec<Member>, ttl: u32) -> Result<Found, DnsError> {
    Ok(Found {
        roster: Roster::new(members).map_err(|reason| DnsError::Roster {
            name: name.to_owned(),
            reason,
        })?,
        ttl: Duration::from_secs(ttl.into()),
    })
}

fn check_count(name: &str, count: usize) -> Result<(), DnsError> {
    if count <= MAX_RECORDS {
        return Ok(());
    }
    Err(DnsError::TooMany {
        name: name.to_owned(),
        count,
    })
}

/// One address like that and the whole answer is nonsense: what else is in it
/// may not be all that there is.
fn check_address(owner: &str, address: IpAddr) -> Result<(), DnsError> {
    let is_usable = match address.to_canonical() {
        IpAddr::V4(v4) => {
            // All of 0/8 is "this network", RFC 1122 3.2.1.3.
            !(v4.octets()[0] == 0 || v4.is_multicast() || v4.is_broadcast())
        }
        // A link-local address needs a scope, which DNS does not tell.
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()),
    };
    if is_usable {
        return Ok(());
    }
    Err(DnsError::Address {
        owner: owner.to_owned(),
        address,
    })
}

#[cfg(test)]
mod tests;
