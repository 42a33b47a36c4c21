//! Which requests carry which key and where: rules as data, so that any
//! document server can be routed.

mod path;
mod spelling;
mod table;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::field::FieldPath;
use crate::key::Resource;

pub use path::{PathPattern, Variables};
pub use table::Rules;

/// Most fields that a rule may look for in a message.
pub const MAX_FIELDS: usize = 16;

/// What the router knows of the requests to one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRule {
    /// The requests that it is for.
    pub path: PathPattern,
    /// How long they stay open.
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: Kind,
    /// What the key in the header names, and those of the request line;
    /// absent: the request has no key and whatever its header says is ignored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resource: Option<Resource>,
    /// Where the key is when it is not in the header: the first that the
    /// request has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keys: Vec<KeySource>,
    /// Where the project of such a key is: the first that the request has,
    /// before its `x-api-key` and the default project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub projects: Vec<ProjectSource>,
    /// Where the response says the id of the document, so that later calls that
    /// only have the id find its key.
    #[serde(default, skip_serializing_if = "is_default")]
    pub learn: Option<Learn>,
    /// Whether the message may name several keys, of which the first counts.
    /// Elsewhere keys that differ are refused where all of them are read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub many: bool,
    /// Whether only servers of the cluster may call: those that know the
    /// cluster secret, or come by an internal listener.
    #[serde(default, skip_serializing_if = "is_default")]
    pub internal: bool,
    /// What to do with a request that carries no key.
    #[serde(default)]
    pub no_key: NoKey,
}

/// Where a response names a document both ways. Only the server's own word for
/// it counts: a request can name one document to the router and another to the
/// server (protobuf takes the last of repeated fields), and whoever believed it
/// would send everybody's calls for the second to the owner of the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Learn {
    /// Field with its id.
    pub id: FieldPath,
    /// Field with its key.
    pub key: FieldPath,
}

/// How long a request stays open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One answer, soon.
    #[default]
    Unary,
    /// Answers until somebody ends it.
    ServerStream,
}

/// A place for the key of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// Field of the message with a document key.
    Document(FieldPath),
    /// Field of the message with a channel key.
    Channel(FieldPath),
    /// Field of the message with a client key.
    Client(FieldPath),
    /// Field of the message with a document id, whose key may have been
    /// learned.
    DocumentId(FieldPath),
    /// Variable of the path template.
    Path(String),
    /// Query parameter.
    Query(String),
    /// Request header.
    Header(String),
}

/// A place for the project of a request's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectSource {
    /// Field of the message with the project's public key.
    PublicKey(FieldPath),
    /// Field of the message with the project's name; its public key is
    /// configured.
    Name(FieldPath),
    /// Field of the message with the project's id; its public key is
    /// configured.
    Id(FieldPath),
    /// The secret key in `authorization`; the public key is configured.
    Credentials,
    /// Variable of the path template.
    Path(String),
    /// Query parameter.
    Query(String),
    /// Request header.
    Header(String),
}

/// The answer for a request without a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoKey {
    /// Refused: routing it anywhere would be a guess.
    #[default]
    Reject,
    /// Routed to any member: it does not matter which.
    Any,
    /// Routed by its project alone, so that calls of one project meet; refused
    /// when the project is not known either.
    Project,
    /// Routed by this text as it stands, outside the grammar of shard keys.
    Fixed(String),
}

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not a path.
    #[error(
        "path pattern {0:?} is not usable: expected a path that starts with \"/\", with {{variables}} as whole segments or \"*\" at its end"
    )]
    Path(String),
    /// A fixed key that no header can carry.
    #[error("fixed key {0:?} is not usable: expected visible ASCII characters")]
    FixedKey(String),
    /// A variable that the path does not have.
    #[error("path {path:?} has no variable {variable:?}")]
    Variable {
        /// The rule's path.
        path: String,
        /// What it names.
        variable: String,
    },
    /// More fields than a message is searched for.
    #[error("the rule for {0:?} has more than {MAX_FIELDS} fields of the message")]
    TooManyFields(String),
    /// A field that would be text and message at once.
    #[error("path {path:?}: field {inner} leads through {outer}, which is a string")]
    ThroughString {
        /// The rule's path.
        path: String,
        /// The longer path.
        inner: FieldPath,
        /// The one that it leads through.
        outer: FieldPath,
    },
    /// Keys for requests that are said to have none.
    #[error("the rule for {0:?} has keys but no resource: say what they name")]
    NoResource(String),
}

impl KeyRule {
    /// A rule for requests that have no key.
    #[must_use]
    pub fn unkeyed(path: PathPattern, no_key: NoKey) -> Self {
        Self {
            path,
            kind: Kind::Unary,
            resource: None,
            keys: Vec::new(),
            projects: Vec::new(),
            learn: None,
            many: false,
            internal: false,
            no_key,
        }
    }

    /// A rule for requests whose key names such a resource, and which are
    /// refused without one.
    #[must_use]
    pub fn keyed(path: PathPattern, resource: Resource) -> Self {
        Self {
            resource: Some(resource),
            ..Self::unkeyed(path, NoKey::Reject)
        }
    }

    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// The first part that could never work.
    pub fn check(&self) -> Result<(), RuleError> {
        if let NoKey::Fixed(key) = &self.no_key
            && (key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(RuleError::FixedKey(key.clone()));
        }
        if self.resource.is_none() && !self.keys.is_empty() {
            return Err(RuleError::NoResource(self.path.to_string()));
        }
        self.check_fields()?;
        let keys = self.keys.iter().filter_map(|source| match source {
            KeySource::Path(variable) => Some(variable),
            _ => None,
        });
        let projects = self.projects.iter().filter_map(|source| match source {
            ProjectSource::Path(variable) => Some(variable),
            _ => None,
        });
        match keys.chain(projects).find(|name| !self.path.has(name)) {
            None => Ok(()),
            Some(variable) => Err(RuleError::Variable {
                path: self.path.to_string(),
                variable: variable.clone(),
            }),
        }
    }

    fn check_fields(&self) -> Result<(), RuleError> {
        let fields: Vec<_> = self.fields().collect();
        if fields.len() > MAX_FIELDS {
            return Err(RuleError::TooManyFields(self.path.to_string()));
        }
        for outer in &fields {
            if let Some(inner) = fields.iter().find(|inner| inner.leads_through(outer)) {
                return Err(RuleError::ThroughString {
                    path: self.path.to_string(),
                    inner: (*inner).clone(),
                    outer: (*outer).clone(),
                });
            }
        }
        Ok(())
    }

    /// Fields of the request message with the key or the project.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        let keys = self.keys.iter().filter_map(KeySource::field);
        keys.chain(self.projects.iter().filter_map(ProjectSource::field))
    }

    /// Whether the header alone cannot tell what its key names: the message may
    /// name a document, whose key can have dots, or a channel, which is cut at
    /// the first.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        let names = |wanted: fn(&KeySource) -> bool| self.keys.iter().any(wanted);
        names(|source| matches!(source, KeySource::Channel(_)))
            && names(|source| !matches!(source, KeySource::Channel(_)))
    }
}

impl KeySource {
    /// The field of the message, if it is one.
    #[must_use]
    pub fn field(&self) -> Option<&FieldPath> {
        match self {
            Self::Document(field)
            | Self::Channel(field)
            | Self::Client(field)
            | Self::DocumentId(field) => Some(field),
            Self::Path(_) | Self::Query(_) | Self::Header(_) => None,
        }
    }
}

impl ProjectSource {
    /// The field of the message, if it is one.
    #[must_use]
    pub fn field(&self) -> Option<&FieldPath> {
        match self {
            Self::PublicKey(field) | Self::Name(field) | Self::Id(field) => Some(field),
            Self::Credentials | Self::Path(_) | Self::Query(_) | Self::Header(_) => None,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> KeyRule {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_rule_reads_back_from_its_text() {
        for text in [
            r#"{"path":"/x/*","resource":"channel","no_key":{"fixed":"k"}}"#,
            r#"{"path":"/s/Watch","kind":"server_stream","resource":"document","keys":[{"document_id":"resources=2.document=1.document_id=1"},{"channel":"resources=2.channel=2.channel_key=1"}],"no_key":"reject"}"#,
            r#"{"path":"/v1/{p}/{d}","resource":"document","keys":[{"path":"d"},{"query":"doc"},{"header":"x-doc"}],"projects":[{"path":"p"},"credentials",{"name":"project_name=1"}],"learn":{"id":"document_id=1","key":"pack=2.key=1"},"internal":true,"no_key":"project"}"#,
        ] {
            let rule = rule(text);
            assert_eq!(serde_json::to_string(&rule).unwrap(), text);
            assert_eq!(rule.check(), Ok(()));
        }
    }

    #[test]
    fn rules_that_could_never_work_are_refused() {
        for (text, message) in [
            (r#"{"path":"/","no_key":{"fixed":""}}"#, "fixed key \"\""),
            (
                r#"{"path":"/","no_key":{"fixed":"a b"}}"#,
                "fixed key \"a b\"",
            ),
            (
                r#"{"path":"/{a}","resource":"document","keys":[{"path":"b"}]}"#,
                "path \"/{a}\" has no variable \"b\"",
            ),
            (
                r#"{"path":"/a","resource":"document","projects":[{"path":"b"}]}"#,
                "path \"/a\" has no variable \"b\"",
            ),
            (
                r#"{"path":"/a","resource":"document","keys":[{"document":"a=1"},{"document":"a=1.b=2"}]}"#,
                "path \"/a\": field a=1.b=2 leads through a=1",
            ),
            (
                r#"{"path":"/a","keys":[{"query":"b"}]}"#,
                "the rule for \"/a\" has keys but no resource",
            ),
        ] {
            let error = rule(text).check().unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn only_documents_and_channels_together_are_ambiguous() {
        let ambiguous = |keys: &str| {
            rule(&format!(
                r#"{{"path":"/a","resource":"document","keys":[{keys}]}}"#
            ))
            .is_ambiguous()
        };
        assert!(ambiguous(r#"{"document_id":"a=1"},{"channel":"b=2"}"#));
        assert!(!ambiguous(r#"{"document_id":"a=1"},{"document":"b=2"}"#));
        assert!(!ambiguous(r#"{"channel":"b=2"}"#));
        assert!(!ambiguous(""));
    }
}
