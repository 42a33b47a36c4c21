//! What gRPC's own xDS clients need (gRFC A27, A28, A42): a listener without an
//! address, its routes, a cluster and its endpoints, all under names of their
//! own that are served to nobody who does not ask for them.
//!
//! It is the same ring as Envoy's: members in the same order, with the same
//! weights and hash keys. There is no filter in such a client, so a request
//! without `x-shard-key` has no route and fails.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::Locality;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, Rds,
};
use sharding::{FilterConfig, Roster, SHARD_KEY};

use super::cluster::{circuit_breakers, load_balancing};
use super::endpoints::in_locality;
use super::listener::typed_filter;
use super::routes::{by_shard_key, every_path, has_header};
use super::{ads, any, resource, u32_value};
use crate::config::Config;
use crate::snapshot::{Audience, Resource, ResourceType};

/// All resources of clients that dial `target`. Where a member is not called by
/// its address, the listener, and with it the rest, is only for those that
/// place members by their hash key: another would reach other members.
pub(super) fn resources(
    config: &Config,
    target: &str,
    assigned: &FilterConfig,
) -> [(ResourceType, Resource); 4] {
    // Not the name of Envoy's, whatever that is.
    let cluster_name = format!("{}.grpc", config.cluster);
    let audience = if is_called_by_address(assigned) {
        Audience::ByName
    } else {
        Audience::ByNameWithHashKey
    };
    let cluster = resource(&cluster_name, &cluster(config, &cluster_name))
        .for_audience(Audience::ByName)
        .with_dependent(ResourceType::Endpoints, cluster_name.as_str());
    let endpoints = resource(&cluster_name, &endpoints(assigned, &cluster_name));
    let listener = resource(target, &listener(target)).for_audience(audience);
    let routes = resource(target, &routes(target, &cluster_name));
    [
        (ResourceType::Cluster, cluster),
        (
            ResourceType::Endpoints,
            endpoints.for_audience(Audience::ByName),
        ),
        (ResourceType::Listener, listener),
        (ResourceType::Routes, routes.for_audience(Audience::ByName)),
    ]
}

fn is_called_by_address(assigned: &FilterConfig) -> bool {
    let members = assigned.members.as_ref().map_or(&[][..], Roster::members);
    let mut members = members.iter();
    members.all(|member| member.id == member.address.to_string())
}

fn listener(target: &str) -> Listener {
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: target.to_owned(),
        })),
        http_filters: vec![typed_filter(
            "envoy.filters.http.router",
            &Router::default(),
        )],
        ..HttpConnectionManager::default()
    };
    Listener {
        name: target.to_owned(),
        api_listener: Some(ApiListener {
            api_listener: Some(any(&manager)),
        }),
        ..Listener::default()
    }
}

fn routes(target: &str, cluster: &str) -> RouteConfiguration {
    let route = Route {
        name: "keyed".to_owned(),
        r#match: Some(every_path(vec![has_header(SHARD_KEY)])),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
            hash_policy: vec![by_shard_key()],
            ..RouteAction::default()
        })),
        ..Route::default()
    };
    RouteConfiguration {
        name: target.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: target.to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    }
}

fn cluster(config: &Config, name: &str) -> Cluster {
    let (lb_policy, lb_config) = load_balancing(config.policy);
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ads()),
            service_name: name.to_owned(),
        }),
        lb_policy: lb_policy.into(),
        lb_config: Some(lb_config),
        circuit_breakers: Some(circuit_breakers(&config.upstream)),
        ..Cluster::default()
    }
}

/// gRPC passes over a locality without a name or a weight.
fn endpoints(assigned: &FilterConfig, cluster: &str) -> ClusterLoadAssignment {
    let locality = LocalityLbEndpoints {
        locality: Some(Locality::default()),
        load_balancing_weight: Some(u32_value(1)),
        ..LocalityLbEndpoints::default()
    };
    in_locality(assigned, cluster, locality)
}
