//! CDS: the cluster of the members.

use std::collections::HashMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ring_hash_lb_config;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbConfig, LbPolicy,
    MaglevLbConfig, RingHashLbConfig,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, UpstreamConnectionOptions,
};
use envoy_types::pb::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as CommonHttpOptions,
    RoutingPriority, TcpKeepalive,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use sharding::{HashFunction, Policy};

use super::{ads, any, duration, keepalive, u32_value, u64_value};
use crate::config::{Config, Upstream, UpstreamProtocol};

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster whose table is a function of its endpoints and nothing else: no
/// panic mode, no health checks or outlier detection of the proxy's own, no
/// balance factor, one priority, one locality.
pub(super) fn cluster(config: &Config) -> Cluster {
    let (lb_policy, lb_config) = load_balancing(config.policy);
    Cluster {
        name: config.cluster.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ads()),
            service_name: config.cluster.clone(),
        }),
        connect_timeout: Some(duration(config.upstream.connect_timeout)),
        lb_policy: lb_policy.into(),
        lb_config: Some(lb_config),
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            // The default holds back changes of weight and metadata for a second.
            update_merge_window: Some(duration(Duration::ZERO)),
            ..CommonLbConfig::default()
        }),
        circuit_breakers: Some(circuit_breakers(&config.upstream)),
        typed_extension_protocol_options: HashMap::from([(
            HTTP_OPTIONS.to_owned(),
            any(&http_options(&config.upstream)),
        )]),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(TcpKeepalive {
                keepalive_probes: Some(u32_value(3)),
                keepalive_time: Some(u32_value(30)),
                keepalive_interval: Some(u32_value(5)),
            }),
            ..UpstreamConnectionOptions::default()
        }),
        ..Cluster::default()
    }
}

pub(super) fn load_balancing(policy: Policy) -> (LbPolicy, LbConfig) {
    match policy {
        Policy::Maglev { table_size } => (
            LbPolicy::Maglev,
            LbConfig::MaglevLbConfig(MaglevLbConfig {
                table_size: Some(u64_value(table_size.into())),
            }),
        ),
        Policy::RingHash {
            minimum_ring_size,
            maximum_ring_size,
            hash_function,
        } => (
            LbPolicy::RingHash,
            LbConfig::RingHashLbConfig(RingHashLbConfig {
                minimum_ring_size: Some(u64_value(minimum_ring_size.into())),
                maximum_ring_size: Some(u64_value(maximum_ring_size.into())),
                hash_function: match hash_function {
                    HashFunction::XxHash => ring_hash_lb_config::HashFunction::XxHash,
                    HashFunction::Murmur2 => ring_hash_lb_config::HashFunction::MurmurHash2,
                }
                .into(),
            }),
        ),
    }
}

/// Envoy's default of 1024 open requests would turn a thousand watches into
/// 503 for everybody else.
pub(super) fn circuit_breakers(upstream: &Upstream) -> CircuitBreakers {
    let thresholds = [RoutingPriority::Default, RoutingPriority::High].map(|priority| Thresholds {
        priority: priority.into(),
        max_connections: Some(u32_value(upstream.max_connections)),
        max_pending_requests: Some(u32_value(upstream.max_requests)),
        max_requests: Some(u32_value(upstream.max_requests)),
        max_retries: Some(u32_value(upstream.max_requests)),
        ..Thresholds::default()
    });
    CircuitBreakers {
        thresholds: thresholds.into(),
        ..CircuitBreakers::default()
    }
}

fn http_options(upstream: &Upstream) -> HttpProtocolOptions {
    let http1 = Http1ProtocolOptions::default;
    let http2 = || Http2ProtocolOptions {
        allow_connect: true,
        connection_keepalive: Some(keepalive()),
        ..Http2ProtocolOptions::default()
    };
    let explicit = |protocol| {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(protocol),
        })
    };
    HttpProtocolOptions {
        common_http_protocol_options: Some(CommonHttpOptions {
            idle_timeout: Some(duration(upstream.idle_timeout)),
            ..CommonHttpOptions::default()
        }),
        upstream_protocol_options: Some(match upstream.protocol {
            UpstreamProtocol::H2c => explicit(ProtocolConfig::Http2ProtocolOptions(http2())),
            UpstreamProtocol::Http1 => explicit(ProtocolConfig::HttpProtocolOptions(http1())),
            UpstreamProtocol::Downstream => {
                UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                    http_protocol_options: Some(http1()),
                    http2_protocol_options: Some(http2()),
                    ..UseDownstreamHttpConfig::default()
                })
            }
        }),
        ..HttpProtocolOptions::default()
    }
}
