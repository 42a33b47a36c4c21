//! Every call that Yorkie's rules know, with its key in every place: made from
//! the rules, so a new rule is tested without new code.

use std::fmt;

use anyhow::Result;
use sharding::{
    API_KEY, FieldPath, KeyRule, KeySource, Kind, NoKey, PathPattern, ProjectSource, Resource,
    SHARD_KEY, yorkie_rules,
};
use yorkies_tests::{Request, Rpc, document_id};

use crate::{CLUSTER_SECRET, PROJECT, PROJECT_ID, PROJECT_NAME, SECRET_KEY};

/// Where a request says its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Header,
    Body,
    Both,
    Nowhere,
}

/// Where a request has to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// To the owner of this canonical key.
    Owner(String),
    /// To any member, without a key.
    Anywhere,
    /// Nowhere: it is refused for want of a key.
    Refused,
}

/// One call.
pub(crate) struct Case {
    pub(crate) rule: KeyRule,
    pub(crate) place: Place,
    /// What in its message names the key.
    pub(crate) source: Option<KeySource>,
    /// The text there.
    said: String,
    /// The key in its header.
    header: Option<String>,
    pub(crate) expected: Expected,
}

/// A name of each kind and its canonical form: only channels are cut at a dot,
/// and only client keys have blanks and letters beyond ASCII.
fn name(resource: Resource) -> (&'static str, &'static str) {
    match resource {
        Resource::Document => ("notes.v2-draft", "notes.v2-draft"),
        Resource::Channel => ("room.lobby.desk", "room"),
        Resource::Client => ("Zoë's tablet", "Zo%C3%AB%27s%20tablet"),
    }
}

/// The document whose id is used in the calls by that protocol, once it was
/// attached by it.
pub(crate) fn attached(rpc: Rpc) -> String {
    format!("attached.by-{rpc:?}")
}

/// All cases in one protocol.
pub(crate) fn cases(rpc: Rpc) -> Vec<Case> {
    yorkie_rules()
        .iter()
        .flat_map(|rule| cases_of(rule, rpc))
        .collect()
}

fn cases_of(rule: &KeyRule, rpc: Rpc) -> Vec<Case> {
    let case = |place, expected| Case {
        rule: rule.clone(),
        place,
        source: None,
        said: String::new(),
        header: None,
        expected,
    };
    let owner = |half: &str| Expected::Owner(format!("{PROJECT}/{half}"));
    let mut cases = vec![case(
        Place::Nowhere,
        match &rule.no_key {
            NoKey::Reject => Expected::Refused,
            NoKey::Any => Expected::Anywhere,
            NoKey::Project => owner(""),
            NoKey::Fixed(text) => Expected::Owner(text.clone()),
        },
    )];
    let mut by_header = |name: &str, expected| {
        cases.push(Case {
            header: Some(format!("{PROJECT}/{name}")),
            ..case(Place::Header, expected)
        });
    };
    if let Some(resource) = rule.resource {
        let (name, canonical) = name(resource);
        by_header(name, owner(canonical));
        if rule.is_ambiguous() {
            // What may be a document or a channel is a document, until the message names a channel.
            by_header("plain", owner("plain"));
            by_header("room.lobby.desk", owner("room.lobby.desk"));
        }
    } else {
        // Such a path has no key, whatever a header says.
        let without = match &rule.no_key {
            NoKey::Fixed(text) => Expected::Owner(text.clone()),
            _ => Expected::Anywhere,
        };
        by_header("note", without);
    }
    for source in &rule.keys {
        let (header, said, canonical) = match source {
            KeySource::Document(_) => said(Resource::Document),
            KeySource::Channel(_) => said(Resource::Channel),
            KeySource::Client(_) => said(Resource::Client),
            KeySource::DocumentId(_) => {
                let name = attached(rpc);
                let id = document_id(&format!("{PROJECT}/{name}"));
                (name.clone(), id, name)
            }
            // Yorkie has none of these.
            KeySource::Path(_) | KeySource::Query(_) | KeySource::Header(_) => continue,
        };
        for place in [Place::Body, Place::Both] {
            cases.push(Case {
                source: Some(source.clone()),
                said: said.clone(),
                header: (place == Place::Both).then(|| format!("{PROJECT}/{header}")),
                ..case(place, owner(&canonical))
            });
        }
    }
    cases
}

/// For the header, for the message, and its canonical form.
fn said(resource: Resource) -> (String, String, String) {
    let (name, canonical) = name(resource);
    (name.to_owned(), name.to_owned(), canonical.to_owned())
}

impl Case {
    /// A path that its rule is for.
    pub(crate) fn path(&self) -> String {
        match &self.rule.path {
            PathPattern::Prefix(prefix) => format!("{prefix}Anything"),
            path => path.to_string(),
        }
    }

    pub(crate) fn request(&self, rpc: Rpc) -> Result<Request> {
        let mut fields: Vec<(&FieldPath, &str)> = Vec::new();
        let mut headers = Vec::new();
        if let Some(field) = self.source.as_ref().and_then(KeySource::field) {
            fields.push((field, &self.said));
        }
        if let Some(key) = &self.header {
            headers.push((SHARD_KEY, key.clone()));
        }
        match self.rule.projects.first() {
            None => headers.push((API_KEY, PROJECT.to_owned())),
            Some(ProjectSource::PublicKey(field)) => fields.push((field, PROJECT)),
            Some(ProjectSource::Name(field)) => fields.push((field, PROJECT_NAME)),
            Some(ProjectSource::Id(field)) => fields.push((field, PROJECT_ID)),
            Some(_) => headers.push(("authorization", format!("API-Key {SECRET_KEY}"))),
        }
        if self.rule.internal {
            headers.push(("x-cluster-secret", CLUSTER_SECRET.to_owned()));
        }
        let call = rpc.call(&self.path(), self.rule.kind, &fields)?;
        headers
            .into_iter()
            .try_fold(call, |call, (name, value)| call.header(name, value))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.source.as_ref().and_then(KeySource::field);
        let field = field.map(ToString::to_string).unwrap_or_default();
        let (path, place, expected) = (self.path(), self.place, &self.expected);
        write!(f, "{path}, key in {place:?} {field}, expected {expected:?}")
    }
}

/// A call that names a document in its message alone.
pub(crate) fn by_body(rpc: Rpc, path: &str, document: &str) -> Result<Request> {
    let rules = yorkie_rules();
    let mut rules = rules.iter();
    let rule = rules.find(|rule| rule.path.to_string() == path);
    let fields = rule.into_iter().flat_map(|rule| &rule.keys);
    let fields: Vec<_> = fields
        .filter(|source| matches!(source, KeySource::Document(_)))
        .filter_map(KeySource::field)
        .map(|field| (field, document))
        .collect();
    rpc.call(path, Kind::Unary, &fields)?
        .header(API_KEY, PROJECT)
}
