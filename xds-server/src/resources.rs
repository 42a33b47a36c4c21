//! Pure functions from a configuration and an assignment to Envoy's resources.
//!
//! Equal inputs give equal bytes, which is what makes a content hash a
//! version. The generated types hold protobuf maps in `HashMap`s, whose order
//! varies: no map here has more than one entry.

mod cluster;
mod endpoints;
mod extension;
mod grpc;
mod listener;
mod routes;

pub(crate) use routes::UNROUTABLE;

use std::time::Duration;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, KeepaliveSettings, SocketAddress,
};
use envoy_types::pb::google::protobuf::{
    Any, BoolValue, Duration as ProtoDuration, UInt32Value, UInt64Value,
};
use prost::{Message, Name};
use sharding::FilterConfig;

use crate::config::Config;
use crate::module::Module;
use crate::snapshot::{Resource, ResourceType, Snapshot};

/// Name of the filter in the listener's chain, and so of its ECDS resource.
pub const FILTER: &str = "yorkies";

/// Name of the filter's other ECDS resource: the same under the same
/// assignment, for listeners that only servers of the cluster reach.
pub const INTERNAL_FILTER: &str = "yorkies-internal";

/// Name of the listener and of its route configuration.
pub const LISTENER: &str = "yorkies";

/// Every resource of one assignment. Without a listener in the configuration
/// there are only those that a proxy with its own listener asks for.
#[must_use]
pub fn snapshot(config: &Config, module: &Module, assigned: &FilterConfig) -> Snapshot {
    let mut resources = vec![
        (
            ResourceType::Cluster,
            resource(&config.cluster, &cluster::cluster(config))
                .with_dependent(ResourceType::Endpoints, config.cluster.as_str()),
        ),
        (
            ResourceType::Endpoints,
            resource(&config.cluster, &endpoints::endpoints(assigned)),
        ),
        extension::resource(FILTER, module, assigned),
        extension::resource(
            INTERNAL_FILTER,
            module,
            &FilterConfig {
                internal: true,
                ..assigned.clone()
            },
        ),
    ];
    if let Some(listener) = &config.listener {
        resources.push((
            ResourceType::Listener,
            resource(LISTENER, &listener::listener(listener, config.max_body)),
        ));
        resources.push((
            ResourceType::Routes,
            resource(LISTENER, &routes::routes(config)),
        ));
    }
    if let Some(clients) = &config.grpc_clients {
        resources.extend(grpc::resources(config, &clients.target, assigned));
    }
    Snapshot::new(resources)
}

fn resource<M: Message>(name: &str, message: &M) -> Resource {
    Resource::new(name, Bytes::from(message.encode_to_vec()))
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// "Ask the ADS stream", without giving up on it: a proxy that starts before
/// the control plane waits instead of going on with half a configuration.
fn ads() -> ConfigSource {
    ConfigSource {
        initial_fetch_timeout: Some(ProtoDuration::default()),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(
            ConfigSourceSpecifier::Ads(AggregatedConfigSource::default()),
        ),
        ..ConfigSource::default()
    }
}

fn address(address: std::net::SocketAddr) -> Address {
    Address {
        address: Some(AddressKind::SocketAddress(SocketAddress {
            address: address.ip().to_string(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(address.port()))),
            ..SocketAddress::default()
        })),
    }
}

/// HTTP/2 pings: with no idle timeout on streams they are what notices a peer
/// that is gone without a word.
fn keepalive() -> KeepaliveSettings {
    KeepaliveSettings {
        interval: Some(duration(Duration::from_secs(30))),
        timeout: Some(duration(Duration::from_secs(10))),
        ..KeepaliveSettings::default()
    }
}

fn duration(duration: Duration) -> ProtoDuration {
    ProtoDuration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

fn u32_value(value: u32) -> UInt32Value {
    UInt32Value { value }
}

fn u64_value(value: u64) -> UInt64Value {
    UInt64Value { value }
}

fn bool_value(value: bool) -> BoolValue {
    BoolValue { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance;
    use crate::snapshot::Audience;
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::cluster::v3::cluster::LbConfig;
    use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use envoy_types::pb::envoy::config::listener::v3::Listener;
    use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
    use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
    use envoy_types::pb::google::protobuf::StringValue;
    use sharding::{Decoded, Member, Roster};

    fn config(extra: &str) -> Config {
        let text = format!("registry: {{file: m.yaml}}\nfilter: {{module: f.wasm}}\n{extra}");
        serde_saphyr::from_str(&text).unwrap()
    }

    fn assigned(config: &Config) -> FilterConfig {
        let members =
            (1..=3).map(|n| Member::new(format!("m{n}"), ([127, 0, 0, 1], n).into(), u32::from(n)));
        let roster = Roster::new(members.collect()).unwrap();
        rebalance::next(None, roster, &config.filter_config(0), 7)
    }

    fn snapshot(config: &Config) -> Snapshot {
        let module = Module {
            path_on_proxy: "/f.wasm".to_owned(),
        };
        super::snapshot(config, &module, &assigned(config))
    }

    fn decode<M: Message + Default>(snapshot: &Snapshot, of: ResourceType, name: &str) -> M {
        M::decode(snapshot.of(of)[name].bytes()).unwrap()
    }

    #[test]
    fn equal_inputs_give_equal_bytes() {
        let config = config("listener: {address: '127.0.0.1:0'}");
        let first = snapshot(&config);
        for _ in 0..20 {
            let again = snapshot(&config);
            for kind in ResourceType::ALL {
                for (name, resource) in first.of(kind) {
                    assert_eq!(resource.version(), again.of(kind)[name].version());
                }
            }
        }
    }

    #[test]
    fn without_a_listener_there_is_only_what_a_proxys_own_one_needs() {
        let snapshot = snapshot(&config(""));
        let counts = ResourceType::ALL.map(|kind| snapshot.of(kind).len());
        assert_eq!(counts, [1, 1, 0, 0, 2]);
    }

    #[test]
    fn the_policy_reaches_the_cluster_with_its_sizes() {
        let lb_config = |policy: &str| {
            let snapshot = snapshot(&config(&format!("policy: {policy}\n")));
            let cluster: Cluster = decode(&snapshot, ResourceType::Cluster, "yorkie");
            cluster.lb_config
        };
        let Some(LbConfig::MaglevLbConfig(maglev)) = lb_config("maglev:251") else {
            panic!("not maglev");
        };
        assert_eq!(maglev.table_size, Some(u64_value(251)));
        let Some(LbConfig::RingHashLbConfig(ring)) = lb_config("ring_hash:9:99:murmur2") else {
            panic!("not a ring");
        };
        assert_eq!(ring.minimum_ring_size, Some(u64_value(9)));
        assert_eq!(ring.maximum_ring_size, Some(u64_value(99)));
        assert_eq!(ring.hash_function, 1);
    }

    #[test]
    fn endpoints_are_the_roster_in_its_order() {
        let assignment: ClusterLoadAssignment =
            decode(&snapshot(&config("")), ResourceType::Endpoints, "yorkie");
        let [locality] = assignment.endpoints.as_slice() else {
            panic!("one locality");
        };
        let weights = locality.lb_endpoints.iter().map(|endpoint| {
            endpoint
                .load_balancing_weight
                .as_ref()
                .map(|weight| weight.value)
        });
        assert_eq!(weights.collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    }

    /// Envoy would not act on a removal.
    #[test]
    fn without_members_there_are_no_endpoints_but_there_is_their_resource() {
        let config = config("");
        let nobody = rebalance::next(None, Roster::default(), &config.filter_config(0), 7);
        let module = Module {
            path_on_proxy: "/f.wasm".to_owned(),
        };
        let snapshot = super::snapshot(&config, &module, &nobody);
        let assignment: ClusterLoadAssignment =
            decode(&snapshot, ResourceType::Endpoints, "yorkie");
        assert!(assignment.endpoints[0].lb_endpoints.is_empty());
    }

    #[test]
    fn the_filter_carries_the_whole_assignment() {
        let config = config("key_rules: [{path: /x, no_key: any}]\ndefault_project: p");
        let decoded = filter_config(&config, FILTER);
        assert_eq!(decoded.config, assigned(&config));
        assert_eq!(decoded.config.default_project.as_deref(), Some("p"));
        assert!(decoded.ignored.is_empty());
    }

    #[test]
    fn an_internal_listener_has_the_same_filter_that_knows_it() {
        let config = config("");
        let internal = filter_config(&config, INTERNAL_FILTER).config;
        assert!(internal.internal && !filter_config(&config, FILTER).config.internal);
        let internal = FilterConfig {
            internal: false,
            ..internal
        };
        assert_eq!(internal, assigned(&config));
    }

    #[test]
    fn the_listener_buffers_more_than_the_filter_reads() {
        let config = config("listener: {address: '127.0.0.1:0'}\nmax_body: 1000000");
        let listener: Listener = decode(&snapshot(&config), ResourceType::Listener, LISTENER);
        let limit = listener.per_connection_buffer_limit_bytes.unwrap().value;
        assert_eq!(limit, 2_000_000);
        let routes: RouteConfiguration = decode(&snapshot(&config), ResourceType::Routes, LISTENER);
        let limit = routes.virtual_hosts[0].request_body_buffer_limit.unwrap();
        assert_eq!(limit.value, 4_000_000);
    }

    #[test]
    fn a_filter_in_other_bytes_is_told_the_same() {
        let config = config("");
        let snapshot = snapshot(&config);
        let filter = &snapshot.of(ResourceType::Extension)[FILTER];
        let mut seen = std::collections::BTreeSet::from([filter.bytes()]);
        for number in [0, 1, 2, u64::MAX] {
            let varied = filter.varied(number);
            assert_eq!(varied.version(), filter.version());
            assert!(seen.insert(varied.bytes()), "{number} is not new");
            assert_eq!(decoded(&varied.bytes()).config, assigned(&config));
        }
    }

    #[test]
    fn grpc_clients_have_resources_of_their_own_that_nobody_else_gets() {
        let policy = "policy: ring_hash:9:99\ngrpc_clients: {target: direct}";
        let config = config(&format!("{policy}\nlistener: {{address: '127.0.0.1:0'}}"));
        let snapshot = snapshot(&config);
        let listener: Listener = decode(&snapshot, ResourceType::Listener, "direct");
        assert!(listener.api_listener.is_some() && listener.address.is_none());
        let cluster: Cluster = decode(&snapshot, ResourceType::Cluster, "yorkie.grpc");
        let envoys: Cluster = decode(&snapshot, ResourceType::Cluster, "yorkie");
        assert_eq!(cluster.lb_config, envoys.lb_config);
        let endpoints: ClusterLoadAssignment =
            decode(&snapshot, ResourceType::Endpoints, "yorkie.grpc");
        let envoys: ClusterLoadAssignment = decode(&snapshot, ResourceType::Endpoints, "yorkie");
        assert_eq!(
            endpoints.endpoints[0].lb_endpoints,
            envoys.endpoints[0].lb_endpoints
        );
        for kind in ResourceType::ALL {
            let mut all = snapshot.of(kind).values();
            let theirs = all.find(|resource| resource.audience() != Audience::Everybody);
            assert_eq!(theirs.is_some(), kind != ResourceType::Extension, "{kind}");
        }
    }

    #[test]
    fn who_reads_no_hash_keys_is_served_where_members_are_called_by_their_address() {
        let config = config("policy: ring_hash:9:99\ngrpc_clients: {target: direct}");
        let audience = |members: Vec<Member>| {
            let roster = Roster::new(members).unwrap();
            let assigned = rebalance::next(None, roster, &config.filter_config(0), 7);
            let module = Module {
                path_on_proxy: "/f.wasm".to_owned(),
            };
            let snapshot = super::snapshot(&config, &module, &assigned);
            snapshot.of(ResourceType::Listener)["direct"].audience()
        };
        let member = |id: &str, host| Member::new(id, ([127, 0, 0, host], 80).into(), 1);
        let by_address = member("127.0.0.1:80", 1);
        assert_eq!(audience(vec![by_address.clone()]), Audience::ByName);
        for id in ["named", "127.0.0.3:80", "127.0.0.2"] {
            let named = audience(vec![by_address.clone(), member(id, 2)]);
            assert_eq!(named, Audience::ByNameWithHashKey, "{id}");
        }
    }

    fn filter_config(config: &Config, name: &str) -> Decoded {
        decoded(&snapshot(config).of(ResourceType::Extension)[name].bytes())
    }

    fn decoded(extension: &Bytes) -> Decoded {
        let extension = TypedExtensionConfig::decode(&**extension).unwrap();
        let wasm = Wasm::decode(&*extension.typed_config.unwrap().value).unwrap();
        let json = wasm.config.unwrap().configuration.unwrap().value;
        let json = StringValue::decode(&*json).unwrap().value;
        FilterConfig::from_json(json.as_bytes()).unwrap()
    }
}
