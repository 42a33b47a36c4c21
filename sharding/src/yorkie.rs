//! The rules for Yorkie 0.7 that are built in: its three services as tables
//! (`api/yorkie/v1/*.proto` of Yorkie 0.7.17), and what else its port serves.

use crate::field::{FieldPath, FieldPathError};
use crate::key::Resource;
use crate::rules::{KeyRule, KeySource, Kind, Learn, NoKey, PathPattern, ProjectSource};

/// Where all of `/auth/` goes: the state of a login lives on one server, and
/// Yorkie's gateways pin it there with this text.
pub const AUTH_SESSION_KEY: &str = "auth-session";

/// One method: its kind, what its key names, and where that is in the request
/// message, first choice first.
type Row = (&'static str, Kind, Resource, &'static [Place]);

/// A field of a message.
#[derive(Clone, Copy)]
enum Place {
    /// The key itself: of a document, a channel or a client, as the row says.
    Key(&'static str),
    /// A channel's key, where the row says documents.
    Channel(&'static str),
    /// A document's id.
    Id(&'static str),
}

use Kind::{ServerStream, Unary};
use Place::{Channel, Id, Key};

/// `YorkieService`: called by SDKs, whose `x-api-key` is the project.
const YORKIE_SERVICE: &[Row] = &[
    (
        "ActivateClient",
        Unary,
        Resource::Client,
        &[Key("client_key=1")],
    ),
    ("DeactivateClient", Unary, Resource::Client, &[]),
    (
        "AttachDocument",
        Unary,
        Resource::Document,
        &[Key("change_pack=2.document_key=1")],
    ),
    ("DetachDocument", Unary, Resource::Document, PACKED),
    ("RemoveDocument", Unary, Resource::Document, PACKED),
    ("PushPullChanges", Unary, Resource::Document, PACKED),
    (
        "Watch",
        ServerStream,
        Resource::Document,
        &[
            Id("resources=2.document=1.document_id=1"),
            Channel("resources=2.channel=2.channel_key=1"),
        ],
    ),
    ("WatchDocument", ServerStream, Resource::Document, BY_ID),
    ("WatchChannel", ServerStream, Resource::Channel, CHANNEL),
    ("CreateRevision", Unary, Resource::Document, BY_ID),
    ("GetRevision", Unary, Resource::Document, BY_ID),
    ("ListRevisions", Unary, Resource::Document, BY_ID),
    ("RestoreRevision", Unary, Resource::Document, BY_ID),
    ("AttachChannel", Unary, Resource::Channel, CHANNEL),
    ("DetachChannel", Unary, Resource::Channel, CHANNEL),
    ("RefreshChannel", Unary, Resource::Channel, CHANNEL),
    ("Broadcast", Unary, Resource::Channel, CHANNEL),
    (
        "PeekChannel",
        Unary,
        Resource::Channel,
        &[Key("channel_key=1")],
    ),
];

const PACKED: &[Place] = &[Key("change_pack=3.document_key=1"), Id("document_id=2")];
const BY_ID: &[Place] = &[Id("document_id=2")];
const CHANNEL: &[Place] = &[Key("channel_key=2")];

/// `AdminService`, calls of credentials alone: the project is theirs.
const ADMIN_BY_CREDENTIALS: &[Row] = &[
    (
        "CreateDocument",
        Unary,
        Resource::Document,
        &[Key("document_key=1")],
    ),
    (
        "GetDocument",
        Unary,
        Resource::Document,
        &[Key("document_key=1")],
    ),
    (
        "GetDocuments",
        Unary,
        Resource::Document,
        &[Key("document_keys=1")],
    ),
    (
        "UpdateDocument",
        Unary,
        Resource::Document,
        &[Key("document_key=1")],
    ),
    (
        "RemoveDocumentByAdmin",
        Unary,
        Resource::Document,
        &[Key("document_key=1")],
    ),
    (
        "GetSnapshotMeta",
        Unary,
        Resource::Document,
        &[Key("document_key=1")],
    ),
    (
        "ListChanges",
        Unary,
        Resource::Document,
        &[Key("document_key=1")],
    ),
    (
        "CompactDocumentByAdmin",
        Unary,
        Resource::Document,
        &[Key("document_key=1")],
    ),
    (
        "GetChannels",
        Unary,
        Resource::Channel,
        &[Key("channel_keys=1")],
    ),
    (
        "BroadcastByAdmin",
        Unary,
        Resource::Channel,
        &[Key("channel_key=1")],
    ),
];

/// `AdminService`, calls that name their project.
const ADMIN_BY_NAME: &[Row] = &[
    (
        "ListRevisionsByAdmin",
        Unary,
        Resource::Document,
        &[Key("document_key=2")],
    ),
    (
        "GetRevisionByAdmin",
        Unary,
        Resource::Document,
        &[Key("document_key=2")],
    ),
    (
        "RestoreRevisionByAdmin",
        Unary,
        Resource::Document,
        &[Key("document_key=2")],
    ),
];

/// `ClusterService`, calls with a whole project.
const CLUSTER_BY_PROJECT: &[Row] = &[
    (
        "DetachDocument",
        Unary,
        Resource::Document,
        &[Key("document_key=4")],
    ),
    (
        "GetDocument",
        Unary,
        Resource::Document,
        &[Key("document_key=2")],
    ),
];

/// `ClusterService`, calls with a project's id.
const CLUSTER_BY_ID: &[Row] = &[
    (
        "CompactDocument",
        Unary,
        Resource::Document,
        &[Key("document_key=3")],
    ),
    (
        "PurgeDocument",
        Unary,
        Resource::Document,
        &[Key("document_key=3")],
    ),
    (
        "GetChannels",
        Unary,
        Resource::Channel,
        &[Key("channel_keys=2")],
    ),
    (
        "Broadcast",
        Unary,
        Resource::Channel,
        &[Key("channel_key=2")],
    ),
];

/// The rules for Yorkie.
///
/// Without a key: calls of SDKs are refused, since a guess would split a
/// document, all but `DeactivateClient`, whose message has an id only and which
/// goes by its project; calls of administrators whose project is not known, and
/// those about no document, go to any server, as they do without a router;
/// logins go to one server, health checks to any.
#[must_use]
pub fn yorkie_rules() -> Vec<KeyRule> {
    // Unit tests read every row, so nothing is ever dropped here.
    build().unwrap_or_default()
}

fn build() -> Result<Vec<KeyRule>, FieldPathError> {
    let mut rules = Vec::new();
    for row in YORKIE_SERVICE {
        let mut rule = rule("YorkieService", row)?;
        match row.0 {
            "AttachDocument" => {
                rule.learn = Some(Learn {
                    id: "document_id=1".parse()?,
                    key: "change_pack=2.document_key=1".parse()?,
                });
            }
            "DeactivateClient" => rule.no_key = NoKey::Project,
            _ => {}
        }
        rules.push(rule);
    }
    let credentials = || Ok(vec![ProjectSource::Credentials]);
    let name = || Ok(vec![ProjectSource::Name("project_name=1".parse()?)]);
    for (rows, projects) in [
        (ADMIN_BY_CREDENTIALS, credentials as fn() -> _),
        (ADMIN_BY_NAME, name as fn() -> _),
    ] {
        for row in rows {
            rules.push(KeyRule {
                projects: projects()?,
                no_key: NoKey::Any,
                ..rule("AdminService", row)?
            });
        }
    }
    let whole = || {
        Ok(vec![ProjectSource::PublicKey(
            "project=1.public_key=3".parse()?,
        )])
    };
    let id = || Ok(vec![ProjectSource::Id("project_id=1".parse()?)]);
    for (rows, projects) in [
        (CLUSTER_BY_PROJECT, whole as fn() -> _),
        (CLUSTER_BY_ID, id as fn() -> _),
    ] {
        for row in rows {
            rules.push(KeyRule {
                projects: projects()?,
                internal: true,
                no_key: NoKey::Any,
                ..rule("ClusterService", row)?
            });
        }
    }
    let prefix = |path: &str| PathPattern::Prefix(path.to_owned());
    rules.extend([
        KeyRule::unkeyed(prefix("/yorkie.v1.AdminService/"), NoKey::Any),
        KeyRule {
            internal: true,
            ..KeyRule::unkeyed(prefix("/yorkie.v1.ClusterService/"), NoKey::Any)
        },
        KeyRule::unkeyed(prefix("/mcp/"), NoKey::Any),
        KeyRule::unkeyed(prefix("/grpc.health.v1.Health/"), NoKey::Any),
        KeyRule::unkeyed(
            PathPattern::Exact("/yorkie.v1.YorkieService/health".to_owned()),
            NoKey::Any,
        ),
        KeyRule::unkeyed(prefix("/auth/"), NoKey::Fixed(AUTH_SESSION_KEY.to_owned())),
        KeyRule::unkeyed(
            PathPattern::Exact("/auth".to_owned()),
            NoKey::Fixed(AUTH_SESSION_KEY.to_owned()),
        ),
    ]);
    Ok(rules)
}

fn rule(service: &str, (method, kind, resource, places): &Row) -> Result<KeyRule, FieldPathError> {
    let path = PathPattern::Exact(format!("/yorkie.v1.{service}/{method}"));
    let keys: Result<Vec<_>, _> = places
        .iter()
        .map(|place| source(*place, *resource))
        .collect();
    Ok(KeyRule {
        kind: *kind,
        keys: keys?,
        // These ask about a list; any of its owners can answer for all, from the database.
        many: matches!(*method, "GetDocuments" | "GetChannels"),
        ..KeyRule::keyed(path, *resource)
    })
}

fn source(place: Place, resource: Resource) -> Result<KeySource, FieldPathError> {
    let field = |text: &str| text.parse::<FieldPath>();
    Ok(match (place, resource) {
        (Id(text), _) => KeySource::DocumentId(field(text)?),
        (Channel(text), _) | (Key(text), Resource::Channel) => KeySource::Channel(field(text)?),
        (Key(text), Resource::Document) => KeySource::Document(field(text)?),
        (Key(text), Resource::Client) => KeySource::Client(field(text)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;

    #[test]
    fn every_row_is_a_rule_that_works() {
        let rules = build().unwrap();
        assert_eq!(rules.len(), 18 + 13 + 6 + 7);
        for rule in rules {
            assert_eq!(rule.check(), Ok(()), "{}", rule.path);
        }
    }

    #[test]
    fn every_method_finds_its_kind_of_key() {
        let rules = Rules::new(yorkie_rules());
        let resource = |path: &str| rules.find(path.as_bytes()).resource;
        for (path, expected) in [
            ("/yorkie.v1.YorkieService/Watch", Some(Resource::Document)),
            (
                "/yorkie.v1.YorkieService/PushPullChanges",
                Some(Resource::Document),
            ),
            (
                "/yorkie.v1.YorkieService/Broadcast",
                Some(Resource::Channel),
            ),
            (
                "/yorkie.v1.YorkieService/ActivateClient",
                Some(Resource::Client),
            ),
            ("/yorkie.v1.YorkieService/health", None),
            (
                "/yorkie.v1.AdminService/GetChannels",
                Some(Resource::Channel),
            ),
            ("/yorkie.v1.AdminService/LogIn", None),
            (
                "/yorkie.v1.ClusterService/GetChannels",
                Some(Resource::Channel),
            ),
        ] {
            assert_eq!(resource(path), expected, "{path}");
        }
    }

    #[test]
    fn only_servers_may_call_the_cluster_service() {
        let rules = Rules::new(yorkie_rules());
        let internal = |path: &str| rules.find(path.as_bytes()).internal;
        assert!(internal("/yorkie.v1.ClusterService/GetDocument"));
        assert!(internal("/yorkie.v1.ClusterService/InvalidateCache"));
        assert!(!internal("/yorkie.v1.AdminService/GetDocument"));
    }

    #[test]
    fn only_the_watch_of_many_kinds_is_ambiguous() {
        let ambiguous: Vec<_> = yorkie_rules()
            .iter()
            .filter(|rule| rule.is_ambiguous())
            .map(|rule| rule.path.to_string())
            .collect();
        assert_eq!(ambiguous, ["/yorkie.v1.YorkieService/Watch"]);
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
