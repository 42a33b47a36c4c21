//! Envoy's configuration: for each variant one listener that answers by
//! itself and one that asks a member.

use std::net::SocketAddr;

use serde_json::{Value, json};
use sharding::SHARD_KEY;

use crate::variants::{Variant, http_filter};

/// What stands behind the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// The route answers by itself: as little of Envoy as can be, so that a
    /// filter's share is the largest that it can be.
    Answer,
    /// A member answers: what a router does all day. Requests have a body.
    Member,
}

impl Behind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Answer, Self::Member];

    /// Whether the variant works there.
    #[must_use]
    pub(crate) fn can_have(self, variant: &Variant) -> bool {
        self == Self::Member || !variant.needs_body
    }

    /// As in the table.
    #[must_use]
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Answer => "answered by Envoy (direct response, no body)",
            Self::Member => "proxied to a member (Maglev by x-shard-key, HTTP/2, body)",
        }
    }

    /// In names.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Member => "member",
        }
    }

    fn route(self) -> Value {
        // As in production: without a key there is no route to members. Every
        // write to the headers makes Envoy match again.
        let r#match = json!({
            "prefix": "/",
            "headers": [{ "name": SHARD_KEY, "present_match": true }],
        });
        match self {
            Self::Answer => json!({
                "match": r#match,
                "direct_response": { "status": 200, "body": { "inline_string": "{}" } },
            }),
            Self::Member => json!({
                "match": r#match,
                "route": {
                    "cluster": "members",
                    "timeout": "0s",
                    "hash_policy": [{ "header": { "header_name": SHARD_KEY } }],
                },
            }),
        }
    }
}

/// The name of a listener.
#[must_use]
pub(crate) fn listener_name(variant: &Variant, behind: Behind) -> String {
    format!("{}: {}", behind.name(), variant.name)
}

/// The whole configuration.
#[must_use]
pub(crate) fn bootstrap(variants: &[Variant], members: &[SocketAddr]) -> Value {
    let listeners: Vec<_> = variants
        .iter()
        .flat_map(|variant| Behind::ALL.map(|behind| listener(variant, behind)))
        .collect();
    let endpoints: Vec<_> = members
        .iter()
        .map(|member| json!({ "endpoint": { "address": address(*member) } }))
        .collect();
    json!({
        "admin": { "address": address(([127, 0, 0, 1], 0).into()) },
        "static_resources": {
            "listeners": listeners,
            "clusters": [{
                "name": "members",
                "type": "STATIC",
                "lb_policy": "MAGLEV",
                "load_assignment": {
                    "cluster_name": "members",
                    "endpoints": [{ "lb_endpoints": endpoints }],
                },
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": { "http2_protocol_options": {} },
                    },
                },
            }],
        },
    })
}

fn listener(variant: &Variant, behind: Behind) -> Value {
    let mut filters: Vec<_> = http_filter(variant).into_iter().collect();
    filters.push(json!({
        "name": "router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        },
    }));
    json!({
        "name": listener_name(variant, behind),
        "address": address(([127, 0, 0, 1], 0).into()),
        "filter_chains": [{ "filters": [{
            "name": "http",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "documents",
                "codec_type": "HTTP2",
                "normalize_path": true,
                "stream_idle_timeout": "0s",
                "http_filters": filters,
                "route_config": { "virtual_hosts": [{
                    "name": "documents",
                    "domains": ["*"],
                    "routes": [behind.route()],
                }] },
            },
        }] }],
    })
}

fn address(address: SocketAddr) -> Value {
    json!({ "socket_address": {
        "address": address.ip().to_string(),
        "port_value": address.port(),
    } })
}
