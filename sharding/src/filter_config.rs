//! The message from the control plane to the filter: an assignment and what
//! to do with the streams that it moved.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::assignment::Assignment;
use crate::member::Roster;
use crate::policy::Policy;
use crate::rules::{KeyRule, RuleError, Rules};
use crate::yorkie::yorkie_rules;

/// Version of the message. A filter refuses any other; fields may be added
/// without a new one, since unknown fields are ignored.
pub const FORMAT: u32 = 1;

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
    /// Rules added to the built-in ones, or in place of those of the same path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_rules: Vec<KeyRule>,
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
}

impl FilterConfig {
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
        for rule in &config.key_rules {
            rule.check()?;
        }
        Ok(Decoded { config, ignored })
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
            format: FORMAT,
            epoch: 7,
            cluster: "yorkie".to_owned(),
            policy: Policy::default(),
            members: Some(Roster::new(vec![member("a", 1, 1), member("b", 2, 3)]).unwrap()),
            drain: Drain::Release { window_ms: 50 },
            key_rules: Vec::new(),
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
    fn the_least_message_is_key_only_and_holds() {
        let json = br#"{"format":1,"epoch":1,"cluster":"c"}"#;
        let config = FilterConfig::from_json(json).unwrap().config;
        assert_eq!(config.drain, Drain::Hold);
        assert!(config.assignment().is_none());
    }

    #[test]
    fn unknown_fields_are_told_and_ignored() {
        let json = br#"{"format":1,"epoch":1,"cluster":"c","new":{"x":1},
            "members":[{"id":"a","address":"127.0.0.1:1","weight":1,"zone":"z"}]}"#;
        let decoded = FilterConfig::from_json(json).unwrap();
        assert_eq!(decoded.ignored, ["new", "members.?.0.zone"]);
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
        let cases: [(&[u8], &str); 5] = [
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
