//! Asks the name servers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Negative, NetError};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::DnsError;
use super::found::{Addresses, Found, Service, of_addresses, of_services, preferred};
use crate::config::{self, Dns};

/// How long a name server is waited for, and how often it is asked again: UDP
/// loses packets.
const TRY: Duration = Duration::from_secs(1);
const RETRIES: usize = 1;

/// How long a whole look-up may take, targets of SRV records included.
const LIMIT: Duration = Duration::from_secs(5);

/// Targets that are looked up at once; a resolver refuses more than 32.
const AT_ONCE: usize = 16;

/// Looks for members once.
///
/// With a resolver of its own: there is nothing to remember of an earlier look,
/// neither answers, which are wanted fresh, nor which server was silent, and
/// the system's configuration may have changed.
pub(in crate::registry) async fn look(settings: &Dns) -> Result<Found, DnsError> {
    let late = |_| DnsError::Late {
        name: settings.name.to_ascii(),
        limit: LIMIT,
    };
    timeout(LIMIT, look_for_long(settings))
        .await
        .map_err(late)?
}

async fn look_for_long(settings: &Dns) -> Result<Found, DnsError> {
    let resolver = resolver(&settings.resolvers)?;
    let (name, shown) = (&settings.name, settings.name.to_ascii());
    // Checked: there is one where it is needed.
    let port = settings.port.unwrap_or_default();
    let record = match settings.record {
        config::Record::A => RecordType::A,
        config::Record::Aaaa => RecordType::AAAA,
        config::Record::Srv => return look_for_services(&resolver, name, &shown).await,
    };
    let answer = ask(&resolver, name.clone(), record).await?;
    let addresses = addresses(answer.answers().iter());
    let addresses = addresses.ok_or_else(|| empty(name, record, "no error"))?;
    of_addresses(&shown, &addresses, port)
}

async fn look_for_services(
    resolver: &TokioResolver,
    name: &Name,
    shown: &str,
) -> Result<Found, DnsError> {
    let answer = ask(resolver, name.clone(), RecordType::SRV).await?;
    let services: Vec<_> = answer.answers().iter().filter_map(service).collect();
    if services.is_empty() {
        return Err(empty(name, RecordType::SRV, "no error"));
    }
    let services = preferred(shown, services)?;
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
            let resolver = resolver.clone();
            lookups.spawn(async move {
                let addresses = look_for_addresses(&resolver, &target).await;
                addresses.map(|addresses| (target, addresses))
            });
        }
        for looked_up in lookups.join_all().await {
            let (target, addresses) = looked_up?;
            known.insert(target, addresses);
        }
    }
    of_services(shown, &services, &known)
}

/// Of version 4, or else of version 6: most servers with both are one server.
async fn look_for_addresses(resolver: &TokioResolver, target: &str) -> Result<Addresses, DnsError> {
    let name = Name::from_ascii(format!("{target}.")).map_err(|reason| DnsError::Refused {
        name: target.to_owned(),
        record: RecordType::A,
        reason: reason.into(),
    })?;
    let answer = match ask(resolver, name.clone(), RecordType::A).await {
        Err(DnsError::Empty { .. }) => ask(resolver, name.clone(), RecordType::AAAA).await?,
        answer => answer?,
    };
    let addresses = addresses(answer.answers().iter());
    addresses.ok_or_else(|| empty(&name, RecordType::A, "no error"))
}

async fn ask(resolver: &TokioResolver, name: Name, record: RecordType) -> Result<Lookup, DnsError> {
    let answer = resolver.lookup(name.clone(), record).await;
    answer.map_err(|reason| match reason {
        NetError::Dns(Negative::NoRecordsFound(none)) => {
            empty(&name, record, &none.response_code.to_string())
        }
        reason => DnsError::Refused {
            name: name.to_ascii(),
            record,
            reason,
        },
    })
}

fn empty(name: &Name, record: RecordType, code: &str) -> DnsError {
    DnsError::Empty {
        name: name.to_ascii(),
        record,
        code: code.to_owned(),
    }
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

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, DnsError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().map_err(DnsError::System)?
    } else {
        let servers = servers.iter().map(|&server| name_server(server));
        let config = ResolverConfig::from_name_servers(servers.collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = TRY;
    options.attempts = RETRIES;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    builder.build().map_err(DnsError::System)
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}
