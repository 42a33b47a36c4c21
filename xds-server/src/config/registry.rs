//! Where members come from: one source or several, each under its own name.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Config;
use super::check::{Problem, in_range};

/// Port of name servers that are given without one.
const DNS_PORT: u16 = 53;

mod etcd;
mod kubernetes;
mod leases;
mod yorkie;

pub use etcd::{Etcd, EtcdTls};
pub use kubernetes::{AddressFamily, Kubernetes, ServicePort};
pub use leases::Leases;
pub use yorkie::Yorkie;

/// Sources of members, at least one. What several of them say is merged by id;
/// of what they say differently, that of the first in this order counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// A members file, watched.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Leases that members hold.
    #[serde(default)]
    pub leases: Option<Leases>,
    /// Keys in etcd, watched: a member for each.
    #[serde(default)]
    pub etcd: Option<Etcd>,
    /// Pods behind a service of Kubernetes, watched.
    #[serde(default)]
    pub kubernetes: Option<Kubernetes>,
    /// Rows that Yorkie's servers write in their database.
    #[serde(default)]
    pub yorkie: Option<Yorkie>,
    /// A name in the DNS behind which the members are, looked up again and
    /// again.
    #[serde(default)]
    pub dns: Option<Dns>,
}

/// Members behind a name. DNS does not tell one run of a server from the next,
/// so that no member found there has an incarnation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The name. Without a final dot it is completed by the system's search
    /// list, unless `resolvers` replaces the system's.
    #[serde(deserialize_with = "name", serialize_with = "text")]
    pub name: Name,
    /// Port of all members. Required for address records; SRV records have their
    /// own.
    #[serde(default)]
    pub port: Option<u16>,
    /// What to look for.
    #[serde(default)]
    pub record: Record,
    /// The name is looked up when its TTL is over, but not sooner than this, 10
    /// milliseconds to an hour; after failures sooner, then less often.
    #[serde(default = "min_interval", with = "humantime_serde")]
    pub min_interval: Duration,
    /// And not later than this, up to an hour, however long the TTL: Docker
    /// gives its answers 10 minutes and changes them at once.
    #[serde(default = "max_interval", with = "humantime_serde")]
    pub max_interval: Duration,
    /// When more than half of the members are gone from one answer to the next,
    /// two at least, they are kept until that has lasted so long: more likely
    /// something is wrong. Up to an hour; `0s` takes every answer at once.
    #[serde(default = "hold_loss", with = "humantime_serde")]
    pub hold_loss: Duration,
    /// Name servers to ask instead of those of the system, `IP` or `IP:PORT`; the
    /// next is asked when the one before does not answer.
    #[serde(default, deserialize_with = "resolvers")]
    pub resolvers: Vec<SocketAddr>,
}

/// Kind of a DNS record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// Addresses of version 4.
    #[default]
    A,
    /// Addresses of version 6.
    Aaaa,
    /// Names with ports and weights.
    Srv,
}

impl Registry {
    /// Every path in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let of_etcd = self.etcd.iter_mut().flat_map(Etcd::paths);
        let of_leases = self.leases.iter_mut().map(|leases| &mut leases.file);
        let of_kubernetes = self.kubernetes.iter_mut().flat_map(Kubernetes::paths);
        let of_yorkie = self.yorkie.iter_mut().flat_map(|of| &mut of.uri_file);
        let of_servers = of_etcd.chain(of_kubernetes).chain(of_yorkie);
        self.file.iter_mut().chain(of_leases).chain(of_servers)
    }
}

fn min_interval() -> Duration {
    Duration::from_millis(250)
}

fn max_interval() -> Duration {
    Duration::from_secs(1)
}

fn hold_loss() -> Duration {
    Duration::from_secs(10)
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |why: &str| {
        D::Error::custom(format!(
            "{text:?} is no name to look up: expected one such as yorkie or yorkie.default.svc.cluster.local.{why}"
        ))
    };
    if text.parse::<IpAddr>().is_ok() {
        return Err(wrong(", and addresses in a members file"));
    }
    let name = Name::from_ascii(&text).map_err(|_| wrong(""))?;
    if name.num_labels() == 0 {
        return Err(wrong(""));
    }
    Ok(name)
}

fn text<S: Serializer>(name: &Name, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

fn resolvers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let address = |text: &String| {
        let with_port = || Some(SocketAddr::new(text.parse().ok()?, DNS_PORT));
        let address: Option<SocketAddr> = text.parse().ok().or_else(with_port);
        address
            .filter(|address| address.port() != 0 && !address.ip().is_unspecified())
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "name server {text:?} is not usable: expected IP, IP:PORT or [IP]:PORT"
                ))
            })
    };
    texts.iter().map(address).collect()
}

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);

pub(super) fn check(config: &Config) -> Result<(), Problem> {
    let Registry {
        file,
        leases,
        etcd,
        kubernetes,
        yorkie,
        dns,
    } = &config.registry;
    let has_members = file.is_some() || leases.is_some() || etcd.is_some();
    if !has_members && kubernetes.is_none() && yorkie.is_none() && dns.is_none() {
        let reason =
            "has no source: expected file, leases, etcd, kubernetes, yorkie or dns, one or several";
        return Err(("registry", reason.to_owned()));
    }
    if leases.is_some() {
        leases::check(&config.admin)?;
    }
    etcd.as_ref().map_or(Ok(()), etcd::check)?;
    kubernetes.as_ref().map_or(Ok(()), kubernetes::check)?;
    yorkie.as_ref().map_or(Ok(()), yorkie::check)?;
    dns.as_ref().map_or(Ok(()), check_dns)
}

fn check_dns(dns: &Dns) -> Result<(), Problem> {
    let problem = match (dns.record, dns.port) {
        (Record::Srv, Some(port)) => {
            format!("{port} is not usable: SRV records have their own, leave it out")
        }
        (Record::A | Record::Aaaa, None) => {
            "is missing: address records have none, expected that of the members".to_owned()
        }
        (_, Some(0)) => "0 is not usable: expected 1 to 65535".to_owned(),
        _ => {
            in_range("registry.dns.min_interval", dns.min_interval, &INTERVALS)?;
            let holds = Duration::ZERO..=*INTERVALS.end();
            in_range("registry.dns.hold_loss", dns.hold_loss, &holds)?;
            let from_min = dns.min_interval..=*INTERVALS.end();
            return in_range("registry.dns.max_interval", dns.max_interval, &from_min);
        }
    };
    Err(("registry.dns.port", problem))
}
