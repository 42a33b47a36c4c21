//! The rules for Yorkie 0.7 that are built in.

use crate::key::Resource;
use crate::rules::{KeyRule, NoKey, PathPattern};

/// Where all of `/auth/` goes: the state of a login lives on one server, and
/// Yorkie's gateways pin it there with this text.
pub const AUTH_SESSION_KEY: &str = "auth-session";

/// Methods of `YorkieService` whose key names a client.
const CLIENT_METHODS: [&str; 2] = ["ActivateClient", "DeactivateClient"];

/// Methods of `YorkieService` whose key names a channel.
const CHANNEL_METHODS: [&str; 6] = [
    "AttachChannel",
    "DetachChannel",
    "RefreshChannel",
    "Broadcast",
    "PeekChannel",
    "WatchChannel",
];

/// The rules for Yorkie: documents unless said otherwise, channels by their
/// first segment, logins on one server, and no key needed where any server
/// answers the same.
#[must_use]
pub fn yorkie_rules() -> Vec<KeyRule> {
    let service = "/yorkie.v1.YorkieService/";
    let clients = CLIENT_METHODS.map(|method| keyed(service, method, Resource::Client));
    let channels = CHANNEL_METHODS.map(|method| keyed(service, method, Resource::Channel));
    let unkeyed = [
        unkeyed(PathPattern::Exact(format!("{service}health")), NoKey::Any),
        unkeyed(
            PathPattern::Prefix("/grpc.health.v1.Health/".to_owned()),
            NoKey::Any,
        ),
        unkeyed(
            PathPattern::Prefix("/auth/".to_owned()),
            NoKey::Fixed(AUTH_SESSION_KEY.to_owned()),
        ),
    ];
    let admin = KeyRule {
        path: PathPattern::Prefix("/yorkie.v1.AdminService/".to_owned()),
        resource: Some(Resource::Document),
        no_key: NoKey::Any,
    };
    clients
        .into_iter()
        .chain(channels)
        .chain(unkeyed)
        .chain([admin])
        .collect()
}

fn keyed(service: &str, method: &str, resource: Resource) -> KeyRule {
    KeyRule {
        path: PathPattern::Exact(format!("{service}{method}")),
        resource: Some(resource),
        no_key: NoKey::Reject,
    }
}

fn unkeyed(path: PathPattern, no_key: NoKey) -> KeyRule {
    KeyRule {
        path,
        resource: None,
        no_key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn every_method_finds_its_kind_of_key() {
        let rules = Rules::new(yorkie_rules());
        let resource = |path: &str| rules.find(path.as_bytes()).resource;
        assert_eq!(
            resource("/yorkie.v1.YorkieService/Watch"),
            Some(Resource::Document)
        );
        assert_eq!(
            resource("/yorkie.v1.YorkieService/PushPullChanges"),
            Some(Resource::Document)
        );
        assert_eq!(
            resource("/yorkie.v1.YorkieService/Broadcast"),
            Some(Resource::Channel)
        );
        assert_eq!(
            resource("/yorkie.v1.YorkieService/ActivateClient"),
            Some(Resource::Client)
        );
        assert_eq!(resource("/yorkie.v1.YorkieService/health"), None);
    }

    #[test]
    fn logins_are_pinned_and_health_is_asked_of_anyone() {
        let rules = Rules::new(yorkie_rules());
        let pinned = NoKey::Fixed(AUTH_SESSION_KEY.to_owned());
        assert_eq!(rules.find(b"/auth/github/callback?code=1").no_key, pinned);
        assert_eq!(
            rules.find(b"/grpc.health.v1.Health/Check").no_key,
            NoKey::Any
        );
        assert_eq!(
            rules.find(b"/yorkie.v1.YorkieService/Watch").no_key,
            NoKey::Reject
        );
    }
}
