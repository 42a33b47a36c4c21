//! Looks for members and whatever belongs to them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::DnsError;
use super::found::{Addresses, Found, Service, of_addresses, of_services, preferred};
use super::servers::NameServers;
use crate::config::{self, Dns};

/// How long a whole look-up may take, targets of SRV records included: enough
/// for the third of three name servers.
const LIMIT: Duration = Duration::from_secs(5);

/// Targets that are looked up at once; a name server is asked no more than 32
/// questions at once.
const AT_ONCE: usize = 16;

/// Looks for members, again and again.
///
/// The name servers are kept for as long as they answer: after that, who was
/// silent is to be forgotten, and the system may have others.
#[derive(Debug)]
pub(in crate::registry) struct Lookups {
    settings: Dns,
    servers: Option<NameServers>,
}

impl Lookups {
    pub(in crate::registry) fn new(settings: Dns) -> Self {
        Self {
            settings,
            servers: None,
        }
    }

    pub(in crate::registry) async fn next(&mut self) -> Result<Found, DnsError> {
        let servers = match self.servers.take() {
            Some(servers) => servers,
            None => NameServers::of(&self.settings.resolvers)?,
        };
        let late = |_| DnsError::Late {
            name: self.settings.name.to_ascii(),
            limit: LIMIT,
        };
        let found = timeout(LIMIT, look(&servers, &self.settings)).await;
        let found = found.map_err(late)??;
        self.servers = Some(servers);
        Ok(found)
    }
}

async fn look(servers: &NameServers, settings: &Dns) -> Result<Found, DnsError> {
    let name = &settings.name;
    let record = match settings.record {
        config::Record::A => RecordType::A,
        config::Record::Aaaa => RecordType::AAAA,
        config::Record::Srv => return look_for_services(servers, name).await,
    };
    let answer = servers.ask(name, record).await?;
    let addresses = addresses(answer.answers().iter());
    let addresses =
        addresses.ok_or_else(|| DnsError::empty(name, record, ResponseCode::NoError))?;
    // Checked: there is one where it is needed.
    let port = settings.port.unwrap_or_default();
    of_addresses(&name.to_ascii(), &addresses, port)
}

async fn look_for_services(servers: &NameServers, name: &Name) -> Result<Found, DnsError> {
    let shown = name.to_ascii();
    let answer = servers.ask(name, RecordType::SRV).await?;
    let services: Vec<_> = answer.answers().iter().filter_map(service).collect();
    if services.is_empty() {
        let code = ResponseCode::NoError;
        return Err(DnsError::empty(name, RecordType::SRV, code));
    }
    let services = preferred(&shown, services)?;
    let targets = services.iter().map(|service| service.target.clone());
    let mut known = BTreeMap::new();
    let mut unknown = Vec::new();
    for target in targets {
        match additional(&answer, &target) {
            Some(addresses) => drop(known.insert(target, addresses)),
            None => unknown.push(target),
        }
    }
    for some in unknown.chunks(AT_ONCE) {
        let mut lookups = JoinSet::new();
        for target in some.iter().cloned() {
            let servers = servers.clone();
            lookups.spawn(async move {
                let addresses = look_for_addresses(&servers, &target).await;
                addresses.map(|addresses| (target, addresses))
            });
        }
        for looked_up in lookups.join_all().await {
            let (target, addresses) = looked_up?;
            known.insert(target, addresses);
        }
    }
    of_services(&shown, &services, &known)
}

/// Of version 4, or else of version 6: most servers with both are one server.
async fn look_for_addresses(servers: &NameServers, target: &str) -> Result<Addresses, DnsError> {
    let name = Name::from_ascii(format!("{target}.")).map_err(|reason| DnsError::Refused {
        name: target.to_owned(),
        record: RecordType::A,
        reason: reason.into(),
    })?;
    let answer = match servers.ask(&name, RecordType::A).await {
        Err(DnsError::Empty { .. }) => servers.ask(&name, RecordType::AAAA).await?,
        answer => answer?,
    };
    let addresses = addresses(answer.answers().iter());
    addresses.ok_or_else(|| DnsError::empty(&name, RecordType::A, ResponseCode::NoError))
}

/// What the server says of a target beside the answer: for each version all or
/// nothing, RFC 2181 section 9.
fn additional(answer: &Lookup, target: &str) -> Option<Addresses> {
    let of_target = |record: &&Record| text(&record.name) == target;
    let of_type = |wanted: RecordType| {
        let all = answer.additionals().iter();
        addresses(all.filter(|record| of_target(record) && record.record_type() == wanted))
    };
    of_type(RecordType::A).or_else(|| of_type(RecordType::AAAA))
}

fn addresses<'a>(records: impl Iterator<Item = &'a Record>) -> Option<Addresses> {
    let found = records.filter_map(|record| Some((ip(record)?, record.ttl)));
    found.fold(None, |all: Option<Addresses>, (ip, ttl)| {
        let (mut ips, least) = all.map_or_else(Default::default, |all| (all.ips, Some(all.ttl)));
        ips.insert(ip);
        let ttl = least.map_or(ttl, |least| least.min(ttl));
        Some(Addresses { ips, ttl })
    })
}

fn ip(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn service(record: &Record) -> Option<Service> {
    let RData::SRV(srv) = &record.data else {
        return None;
    };
    Some(Service {
        priority: srv.priority,
        weight: srv.weight,
        port: srv.port,
        target: text(&srv.target),
        ttl: record.ttl,
    })
}

/// As ids have it: names differ neither by case nor by the final dot.
fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}
