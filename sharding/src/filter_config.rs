//! The message from the control plane to the filter: an assignment and what
//! to do with the streams that it moved.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::assignment::Assignment;
use crate::member::Roster;
use crate::policy::Policy;
use crate::project::{Project, ProjectError, Sha256Hash, check_projects, check_public_key};
use crate::rules::{KeyRule, RuleError, Rules};
use crate::yorkie::yorkie_rules;

/// Version of the message. A filter refuses any other; fields may be added
/// without a new one, since unknown fields are ignored.
pub const FORMAT: u32 = 1;

/// Default of [`FilterConfig::max_body`].
pub const DEFAULT_MAX_BODY: u32 = 64 * 1024;

/// Largest [`FilterConfig::max_body`]: what every request may hold in a
/// proxy's memory.
pub const MAX_MAX_BODY: u32 = 64 * 1024 * 1024;

/// Default of [`FilterConfig::unary_grace_ms`].
pub const DEFAULT_UNARY_GRACE_MS: u64 = 30_000;

/// Default of [`FilterConfig::body_timeout_ms`].
pub const DEFAULT_BODY_TIMEOUT_MS: u32 = 10_000;

/// Largest [`FilterConfig::body_timeout_ms`]: an hour.
pub const MAX_BODY_TIMEOUT_MS: u32 = 3_600_000;

/// Everything that the filter needs to know, as JSON in its plugin
/// configuration. A complete state, never a difference: a filter that missed
/// any number of them is right after the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterConfig {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Number of the assignment; only grows.
    pub epoch: u64,
    /// Envoy cluster whose streams are the router's business.
    pub cluster: String,
    /// How keys are spread.
    #[serde(default)]
    pub policy: Policy,
    /// Over whom; absent in key-only mode, where the filter derives and
    /// annotates keys for somebody else's routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Roster>,
    /// What to do with streams that moved.
    #[serde(default)]
    pub drain: Drain,
    /// How long a unary call may go on before it is treated as a stream, in
    /// milliseconds.
    #[serde(
        default = "default_unary_grace_ms",
        skip_serializing_if = "is_default_unary_grace_ms"
    )]
    pub unary_grace_ms: u64,
    /// Envoy cluster of the control plane, for [reports](crate::Report);
    /// without it there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_to: Option<String>,
    /// Rules added to the built-in ones, or in place of those of the same path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_rules: Vec<KeyRule>,
    /// Public key of the project of requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_project: Option<String>,
    /// Projects that requests name by name, id or secret key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<Project>,
    /// SHA-256 of the secret that servers of the cluster show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_secret_sha256: Option<Sha256Hash>,
    /// Whether a key in the header is compared with the message.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verify: Verify,
    /// Most bytes of a request's body that are read to find its key. The
    /// buffer limit of the listener has to be at least twice that.
    #[serde(
        default = "default_max_body",
        skip_serializing_if = "is_default_max_body"
    )]
    pub max_body: u32,
    /// Longest time, in milliseconds, that a request is held back until its key
    /// has arrived in its body; then it is refused. The filter looks once a
    /// second.
    #[serde(
        default = "default_body_timeout",
        skip_serializing_if = "is_default_body_timeout"
    )]
    pub body_timeout_ms: u32,
    /// Whether only servers of the cluster reach the listener that this
    /// configuration is for. Of that listener alone: all else is one state for
    /// all listeners of a proxy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub internal: bool,
}

/// Whether a key in the header is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Yes: the message is read only where there is no such key.
    #[default]
    Header,
    /// No: the message is read as well, and has to name the same, and the
    /// project has to be that of the request, be it the default one.
    Body,
}

fn default_max_body() -> u32 {
    DEFAULT_MAX_BODY
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_default_max_body(value: &u32) -> bool {
    *value == DEFAULT_MAX_BODY
}

fn default_unary_grace_ms() -> u64 {
    DEFAULT_UNARY_GRACE_MS
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_default_unary_grace_ms(value: &u64) -> bool {
    *value == DEFAULT_UNARY_GRACE_MS
}

fn default_body_timeout() -> u32 {
    DEFAULT_BODY_TIMEOUT_MS
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_default_body_timeout(value: &u32) -> bool {
    *value == DEFAULT_BODY_TIMEOUT_MS
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether open streams that moved may be ended yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// Not yet: some proxy may still route to the old owners.
    #[default]
    Hold,
    /// Now, spread over a window.
    Release {
        /// Length of the window in milliseconds; 0 for all at once.
        window_ms: u64,
    },
}

/// A message that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The message.
    pub config: FilterConfig,
    /// Paths of fields that this version does not know: a newer control plane
    /// speaks to an older filter.
    pub ignored: Vec<String>,
}

/// Why a message is refused. The receiver keeps its last good state.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FilterConfigError {
    /// Not JSON, or a field that breaks its rule.
    #[error("filter configuration is not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a control plane that is too new or too old.
    #[error("filter configuration has format {0}: this filter understands format {FORMAT}")]
    Format(u32),
    /// A rule that cannot be applied.
    #[error("filter configuration has an unusable rule: {0}")]
    Rule(#[from] RuleError),
    /// A project or a hash that cannot be used.
    #[error("filter configuration has unusable projects: {0}")]
    Project(#[from] ProjectError),
    /// A limit of nothing, or of more than a proxy has.
    #[error("filter configuration has max_body {0}: expected 1 to {MAX_MAX_BODY}")]
    MaxBody(u32),
    /// A time in which no body can come, or in which none needs to.
    #[error("filter configuration has body_timeout_ms {0}: expected 1 to {MAX_BODY_TIMEOUT_MS}")]
    BodyTimeout(u32),
}

impl FilterConfig {
    /// A message without members, in which everything else has its default.
    #[must_use]
    pub fn new(epoch: u64, cluster: &str) -> Self {
        Self {
            format: FORMAT,
            epoch,
            cluster: cluster.to_owned(),
            policy: Policy::default(),
            members: None,
            drain: Drain::Hold,
            unary_grace_ms: DEFAULT_UNARY_GRACE_MS,
            report_to: None,
            key_rules: Vec::new(),
            default_project: None,
            projects: Vec::new(),
            cluster_secret_sha256: None,
            verify: Verify::Header,
            max_body: DEFAULT_MAX_BODY,
            body_timeout_ms: DEFAULT_BODY_TIMEOUT_MS,
            internal: false,
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Anything but a complete, valid message of [`FORMAT`].
    pub fn from_json(bytes: &[u8]) -> Result<Decoded, FilterConfigError> {
        #[derive(Deserialize)]
        struct Envelope {
            format: u32,
        }
        let Envelope { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(FilterConfigError::Format(format));
        }
        let mut ignored = Vec::new();
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let config: Self =
            serde_ignored::deserialize(&mut json, |path| ignored.push(path.to_string()))?;
        config.check()?;
        Ok(Decoded { config, ignored })
    }

    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// The first part that could never work.
    pub fn check(&self) -> Result<(), FilterConfigError> {
        for rule in &self.key_rules {
            rule.check()?;
        }
        if let Some(project) = &self.default_project {
            check_public_key("default_project", project)?;
        }
        check_projects(&self.projects)?;
        if !(1..=MAX_MAX_BODY).contains(&self.max_body) {
            return Err(FilterConfigError::MaxBody(self.max_body));
        }
        if !(1..=MAX_BODY_TIMEOUT_MS).contains(&self.body_timeout_ms) {
            return Err(FilterConfigError::BodyTimeout(self.body_timeout_ms));
        }
        Ok(())
    }

    /// Writes the message; equal messages are equal bytes.
    ///
    /// # Errors
    /// None that this type can cause.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The assignment in it; `None` in key-only mode.
    #[must_use]
    pub fn assignment(&self) -> Option<Assignment> {
        let roster = self.members.clone()?;
        Some(Assignment::new(self.epoch, self.policy, roster))
    }

    /// The built-in rules with this message's own on top.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules::new(yorkie_rules().into_iter().chain(self.key_rules.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;
    use crate::rules::NoKey;

    fn config() -> FilterConfig {
        FilterConfig {
            members: Some(Roster::new(vec![member("a", 1, 1), member("b", 2, 3)]).unwrap()),
            drain: Drain::Release { window_ms: 50 },
            ..FilterConfig::new(7, "yorkie")
        }
    }

    #[test]
    fn a_message_reads_back_as_itself() {
        let json = config().to_json().unwrap();
        assert_eq!(
            json,
            r#"{"format":1,"epoch":7,"cluster":"yorkie","policy":"maglev:65537","members":[{"id":"a","address":"127.0.0.1:1","weight":1},{"id":"b","address":"127.0.0.1:2","weight":3}],"drain":{"release":{"window_ms":50}}}"#
        );
        let decoded = FilterConfig::from_json(json.as_bytes()).unwrap();
        assert_eq!(decoded.config, config());
        assert!(decoded.ignored.is_empty());
    }

    #[test]
    fn what_is_known_of_projects_reads_back_too() {
        let json = format!(
            r#"{{"format":1,"epoch":7,"cluster":"c","policy":"maglev:65537","drain":"hold","unary_grace_ms":5,"report_to":"x","default_project":"d","projects":[{{"name":"n","id":"i","public_key":"p","secret_key_sha256":"{0}"}}],"cluster_secret_sha256":"{0}","verify":"body","max_body":9,"body_timeout_ms":8,"internal":true}}"#,
            "0a".repeat(32)
        );
        let decoded = FilterConfig::from_json(json.as_bytes()).unwrap();
        assert!(decoded.ignored.is_empty());
        assert_eq!(decoded.config.to_json().unwrap(), json);
    }

    #[test]
    fn the_least_message_is_key_only_and_holds() {
        let json = br#"{"format":1,"epoch":1,"cluster":"c"}"#;
        let config = FilterConfig::from_json(json).unwrap().config;
        assert_eq!(config.drain, Drain::Hold);
        assert!(config.assignment().is_none());
    }

    #[test]
    fn unknown_fields_are_told_and_ignored() {
        let json = br#"{"format":1,"epoch":1,"cluster":"c","new":{"x":1},
            "members":[{"id":"a","address":"127.0.0.1:1","weight":1,"rack":"r"}]}"#;
        let decoded = FilterConfig::from_json(json).unwrap();
        assert_eq!(decoded.ignored, ["new", "members.?.0.rack"]);
        assert_eq!(decoded.config.members.unwrap().members().len(), 1);
    }

    #[test]
    fn another_format_is_refused_before_anything_else_is_read() {
        let error = FilterConfig::from_json(br#"{"format":2,"epoch":"x"}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "filter configuration has format 2: this filter understands format 1"
        );
    }

    #[test]
    fn garbage_is_refused_with_its_reason() {
        let cases: [(&[u8], &str); 10] = [
            (
                br#"{"format":1,"epoch":1,"cluster":"c","default_project":""}"#,
                "filter configuration has unusable projects: public key \"\" of project \"default_project\"",
            ),
            (
                br#"{"format":1,"epoch":1,"cluster":"c","cluster_secret_sha256":"secret"}"#,
                "filter configuration is not readable: a text of 6 bytes is no SHA-256 hash",
            ),
            (
                br#"{"format":1,"epoch":1,"cluster":"c","max_body":0}"#,
                "filter configuration has max_body 0: expected 1 to 67108864",
            ),
            (
                br#"{"format":1,"epoch":1,"cluster":"c","body_timeout_ms":3600001}"#,
                "filter configuration has body_timeout_ms 3600001: expected 1 to 3600000",
            ),
            (
                br#"{"format":1,"epoch":1,"cluster":"c","verify":"all"}"#,
                "filter configuration is not readable: unknown variant `all`",
            ),
            (b"", "filter configuration is not readable: EOF"),
            (b"[]", "filter configuration is not readable"),
            (b"\xff", "filter configuration is not readable"),
            (
                br#"{"format":1,"epoch":1,"cluster":"c","policy":"maglev:9"}"#,
                "filter configuration is not readable: maglev table size 9",
            ),
            (
                br#"{"format":1,"epoch":1,"cluster":"c","key_rules":[{"path":"/x","no_key":{"fixed":""}}]}"#,
                "filter configuration has an unusable rule: fixed key \"\"",
            ),
        ];
        for (json, message) in cases {
            let error = FilterConfig::from_json(json).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn own_rules_come_before_the_built_in_ones() {
        let mut config = config();
        let path = "/auth/*".to_owned().try_into().unwrap();
        config.key_rules = vec![KeyRule::unkeyed(path, NoKey::Any)];
        assert_eq!(config.rules().find(b"/auth/login").no_key, NoKey::Any);
    }
}
