//! RDS: which requests may reach a member.

use std::collections::HashMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    Header, PolicySpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HashPolicy};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use sharding::{SHARD_EPOCH, SHARD_KEY};

use super::listener::read_limit;
use super::{LISTENER, any, bool_value, duration, u32_value, u64_value};
use crate::config::{Config, Cors};

const CORS_FILTER: &str = "envoy.filters.http.cors";

/// Where requests go that may not go anywhere.
pub(crate) const UNROUTABLE: &str = "yorkies.unroutable";

/// How long a browser may remember a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(1728);

/// Three routes, first match wins:
/// 1. with a key that the filter has seen: to its owner;
/// 2. seen by the filter and left without a key, which its rule allows: to any
///    member (a hash policy that finds no header would pick one at random too,
///    but only by accident);
/// 3. all else, and so everything if the filter is not there: 503.
///
/// The filter removes what a client sends under the name of `x-shard-epoch`,
/// so its presence shows that the filter was there.
pub(super) fn routes(config: &Config) -> RouteConfiguration {
    let keyed = member_route(
        "keyed",
        &[SHARD_KEY, SHARD_EPOCH],
        &config.cluster,
        vec![by_shard_key()],
    );
    let any_member = member_route("any", &[SHARD_EPOCH], &config.cluster, Vec::new());
    RouteConfiguration {
        name: LISTENER.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: LISTENER.to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![keyed, any_member, unroutable()],
            request_body_buffer_limit: Some(u64_value(body_limit(config.max_body))),
            typed_per_filter_config: HashMap::from([(
                CORS_FILTER.to_owned(),
                any(&cors(&config.cors)),
            )]),
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    }
}

/// Hashes the key.
pub(super) fn by_shard_key() -> HashPolicy {
    HashPolicy {
        policy_specifier: Some(PolicySpecifier::Header(Header {
            header_name: SHARD_KEY.to_owned(),
            ..Header::default()
        })),
        terminal: true,
    }
}

/// How much of a body may wait. On HTTP/1.1 one read can bring as much as Envoy
/// takes in at once, and that is added to what waits before the filter sees it.
/// (Envoy 1.36 knows this limit too late, in its router.)
fn body_limit(max_body: u32) -> u64 {
    2 * u64::from(read_limit(max_body))
}

fn member_route(name: &str, present: &[&str], cluster: &str, hash: Vec<HashPolicy>) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(every_path(
            present.iter().map(|&name| has_header(name)).collect(),
        )),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
            hash_policy: hash,
            // A watch is quiet for as long as nobody edits.
            timeout: Some(duration(Duration::ZERO)),
            idle_timeout: Some(duration(Duration::ZERO)),
            // Only what never reached the member, and only to the same one: a predicate that avoids
            // the previous host would spill a key.
            retry_policy: Some(RetryPolicy {
                retry_on: "connect-failure,refused-stream".to_owned(),
                num_retries: Some(u32_value(1)),
                ..RetryPolicy::default()
            }),
            ..RouteAction::default()
        })),
        ..Route::default()
    }
}

/// The cluster named here does not exist, which Envoy answers with 503 (flag
/// `NC`). A direct response would do as well, were it not that the CORS filter
/// passes over requests whose route, before the filter wrote its headers, is
/// one: no preflight would be answered, no refusal readable in a browser.
fn unroutable() -> Route {
    Route {
        name: UNROUTABLE.to_owned(),
        r#match: Some(every_path(Vec::new())),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(UNROUTABLE.to_owned())),
            ..RouteAction::default()
        })),
        ..Route::default()
    }
}

pub(super) fn every_path(headers: Vec<HeaderMatcher>) -> RouteMatch {
    RouteMatch {
        path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
        headers,
        ..RouteMatch::default()
    }
}

pub(super) fn has_header(name: &str) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
        ..HeaderMatcher::default()
    }
}

fn cors(cors: &Cors) -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: cors.allow_origins.iter().map(|o| origin(o)).collect(),
        allow_methods: "GET, POST, PUT, DELETE, OPTIONS".to_owned(),
        allow_headers: cors.allow_headers.join(", "),
        expose_headers: cors.expose_headers.join(", "),
        max_age: PREFLIGHT_MAX_AGE.as_secs().to_string(),
        allow_credentials: Some(bool_value(cors.allow_credentials)),
        ..CorsPolicy::default()
    }
}

fn origin(origin: &str) -> StringMatcher {
    let pattern = match origin {
        "*" => MatchPattern::SafeRegex(RegexMatcher {
            regex: ".*".to_owned(),
            ..RegexMatcher::default()
        }),
        exact => MatchPattern::Exact(exact.to_owned()),
    };
    StringMatcher {
        match_pattern: Some(pattern),
        ..StringMatcher::default()
    }
}
