//! Asks the name servers.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Negative, NetError};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::DnsError;

/// How long a name server is waited for; meanwhile it is asked again, as UDP
/// loses packets.
const TRY: Duration = Duration::from_secs(1);

/// A resolver for each name server. They are asked one after the other, in
/// their order, until one answers: a resolver for all of them asks whoever is
/// fastest, and of two that disagree it would be now this one, now that one.
#[derive(Debug, Clone)]
pub(super) struct NameServers(Vec<TokioResolver>);

impl NameServers {
    /// These, or those of the system if there are none.
    pub(super) fn of(addresses: &[SocketAddr]) -> Result<Self, DnsError> {
        let (config, options) = if addresses.is_empty() {
            read_system_conf().map_err(DnsError::System)?
        } else {
            let servers = addresses.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            (config, ResolverOpts::default())
        };
        let (domain, search, servers) = config.into_parts();
        let resolver = |server| {
            let (domain, search) = (domain.clone(), search.clone());
            let config = ResolverConfig::from_parts(domain, search, vec![server]);
            resolver(config, options.clone())
        };
        let resolvers = servers.into_iter().map(resolver).collect::<Result<_, _>>();
        resolvers.map(Self).map_err(DnsError::System)
    }

    /// What the first says that answers. That there are no such records is an
    /// answer too.
    pub(super) async fn ask(&self, name: &Name, record: RecordType) -> Result<Lookup, DnsError> {
        let mut last = NetError::NoConnections;
        for resolver in &self.0 {
            match resolver.lookup(name.clone(), record).await {
                Ok(answer) => return Ok(answer),
                Err(NetError::Dns(Negative::NoRecordsFound(none))) => {
                    return Err(DnsError::empty(name, record, none.response_code));
                }
                Err(reason) => last = reason,
            }
        }
        Err(DnsError::Refused {
            name: name.to_ascii(),
            record,
            reason: last,
        })
    }
}

/// `options` are for names that are completed.
fn resolver(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, NetError> {
    options.timeout = TRY;
    options.attempts = 0;
    // Members are wanted as they are now.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let provider = TokioRuntimeProvider::default();
    TokioResolver::builder_with_config(config, provider)
        .with_options(options)
        .build()
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}
