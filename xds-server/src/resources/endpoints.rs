//! EDS: the roster.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{HealthStatus, Metadata};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use sharding::{FilterConfig, Member, Roster};

use super::{address, u32_value};

/// One locality, one priority, in roster order: the ring of unequal weights
/// depends on the order. An empty roster is an empty list, never a removal,
/// which Envoy would not act on.
pub(super) fn endpoints(assigned: &FilterConfig) -> ClusterLoadAssignment {
    in_locality(assigned, &assigned.cluster, LocalityLbEndpoints::default())
}

/// The same under the name of a cluster, in that locality.
pub(super) fn in_locality(
    assigned: &FilterConfig,
    cluster: &str,
    locality: LocalityLbEndpoints,
) -> ClusterLoadAssignment {
    let members = assigned.members.as_ref().map_or(&[][..], Roster::members);
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: members.iter().map(endpoint).collect(),
            ..locality
        }],
        ..ClusterLoadAssignment::default()
    }
}

fn endpoint(member: &Member) -> LbEndpoint {
    let hash_key = Value {
        kind: Some(Kind::StringValue(member.id.clone())),
    };
    let fields = HashMap::from([("hash_key".to_owned(), hash_key)]);
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(address(member.address)),
            ..Endpoint::default()
        })),
        health_status: HealthStatus::Healthy.into(),
        metadata: Some(Metadata {
            filter_metadata: HashMap::from([("envoy.lb".to_owned(), Struct { fields })]),
            ..Metadata::default()
        }),
        load_balancing_weight: Some(u32_value(member.weight)),
    }
}
