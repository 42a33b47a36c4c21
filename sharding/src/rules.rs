//! Which requests carry which kind of key: rules as data, so that any document
//! server can be routed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::Resource;

/// What the router knows of the requests to one path or below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRule {
    /// The requests that it is for.
    pub path: PathPattern,
    /// What the key names; absent: the request has no key of its own and
    /// whatever its header says is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// What to do with a request that carries no key.
    #[serde(default)]
    pub no_key: NoKey,
}

/// The path of a request, without its query: exactly this one, or, with a `*`
/// at the end, every path that begins so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// Every path that starts with this text.
    Prefix(String),
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
    /// Routed by this text as it stands, outside the grammar of shard keys.
    Fixed(String),
}

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Not a path.
    #[error(
        "path pattern {0:?} is not usable: expected a path that starts with \"/\", with \"*\" only at its end"
    )]
    Path(String),
    /// A fixed key that no header can carry.
    #[error("fixed key {0:?} is not usable: expected visible ASCII characters")]
    FixedKey(String),
}

impl KeyRule {
    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// A fixed key that no header can carry.
    pub fn check(&self) -> Result<(), RuleError> {
        match &self.no_key {
            NoKey::Fixed(key) if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) => {
                Err(RuleError::FixedKey(key.clone()))
            }
            _ => Ok(()),
        }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        let (path, is_prefix) = match text.strip_suffix('*') {
            Some(path) => (path, true),
            None => (text.as_str(), false),
        };
        if !path.starts_with('/') || path.contains(['*', '?', '#']) {
            return Err(RuleError::Path(text));
        }
        Ok(if is_prefix {
            Self::Prefix(path.to_owned())
        } else {
            Self::Exact(path.to_owned())
        })
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        match pattern {
            PathPattern::Exact(path) => path,
            PathPattern::Prefix(path) => path + "*",
        }
    }
}

/// Rules made ready for look-up: the exact path first, then the longest
/// prefix, then the default (a document key in the header, else refused).
#[derive(Debug, Clone)]
pub struct Rules {
    exact: HashMap<String, KeyRule>,
    /// Longest first.
    prefixes: Vec<(String, KeyRule)>,
    default: KeyRule,
}

impl Rules {
    /// Collects rules; a later rule replaces an earlier one of the same path.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = KeyRule>) -> Self {
        let mut exact = HashMap::new();
        let mut by_prefix = HashMap::new();
        for rule in rules {
            match &rule.path {
                PathPattern::Exact(path) => exact.insert(path.clone(), rule),
                PathPattern::Prefix(path) => by_prefix.insert(path.clone(), rule),
            };
        }
        let mut prefixes: Vec<_> = by_prefix.into_iter().collect();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self {
            exact,
            prefixes,
            default: KeyRule {
                path: PathPattern::Prefix("/".to_owned()),
                resource: Some(Resource::Document),
                no_key: NoKey::Reject,
            },
        }
    }

    /// The rule for a request's `:path`; its query is ignored.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> &KeyRule {
        let Ok(path) = std::str::from_utf8(path) else {
            return &self.default;
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        self.exact
            .get(path)
            .or_else(|| {
                let (_, rule) = self
                    .prefixes
                    .iter()
                    .find(|(prefix, _)| path.starts_with(prefix.as_str()))?;
                Some(rule)
            })
            .unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, no_key: NoKey) -> KeyRule {
        KeyRule {
            path: path.to_owned().try_into().unwrap(),
            resource: None,
            no_key,
        }
    }

    fn fixed(text: &str) -> NoKey {
        NoKey::Fixed(text.to_owned())
    }

    #[test]
    fn the_exact_path_wins_then_the_longest_prefix_then_the_default() {
        let rules = Rules::new([
            rule("/a/*", fixed("short")),
            rule("/a/b/*", fixed("long")),
            rule("/a/b/c", NoKey::Any),
        ]);
        assert_eq!(rules.find(b"/a/b/c").no_key, NoKey::Any);
        assert_eq!(rules.find(b"/a/b/c?x=/a/").no_key, NoKey::Any);
        assert_eq!(rules.find(b"/a/b/c/d").no_key, fixed("long"));
        assert_eq!(rules.find(b"/a/x").no_key, fixed("short"));
        assert_eq!(rules.find(b"/b").no_key, NoKey::Reject);
        assert_eq!(rules.find(b"/a/\xff").no_key, NoKey::Reject);
    }

    #[test]
    fn a_later_rule_replaces_an_earlier_one() {
        let rules = Rules::new([rule("/a", NoKey::Any), rule("/a", fixed("x"))]);
        assert_eq!(rules.find(b"/a").no_key, fixed("x"));
    }

    #[test]
    fn rules_read_back_from_their_text() {
        let text = r#"{"path":"/x/*","resource":"channel","no_key":{"fixed":"k"}}"#;
        let rule: KeyRule = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        assert_eq!(rule.check(), Ok(()));
    }

    #[test]
    fn unusable_rules_are_refused() {
        for path in ["", "x", "/a*b", "/a?b", "*"] {
            assert_eq!(
                PathPattern::try_from(path.to_owned()),
                Err(RuleError::Path(path.to_owned()))
            );
        }
        for key in ["", "a b", "é"] {
            assert_eq!(
                rule("/", fixed(key)).check(),
                Err(RuleError::FixedKey(key.to_owned()))
            );
        }
    }
}
