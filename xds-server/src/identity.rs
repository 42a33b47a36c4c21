//! Who may be which proxy, by the certificate that it shows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Stands for the node id in a pattern.
const NODE: &str = "{node}";

/// What the certificate of a proxy says of its node id: a name that it has to
/// have among its subject alternative names, with `{node}` for the node id. A
/// pattern with `://` is a URI, any other a DNS name. One without `{node}` lets
/// its bearer be any node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdentityPattern {
    before: String,
    /// What follows the node id; `None` when the pattern does not name it.
    after: Option<String>,
}

/// Why a text is no pattern.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "identity {0:?} is not usable: expected a URI such as spiffe://cluster/{{node}}, or a DNS name such as {{node}}.proxies, with {{node}} once at most"
)]
pub struct BadPattern(String);

/// The subject alternative names of a certificate, as far as patterns are about
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// URIs.
    pub uris: Vec<String>,
    /// DNS names.
    pub dns: Vec<String>,
}

impl IdentityPattern {
    /// Whether one of `names` makes its bearer the node `node`.
    ///
    /// They are compared byte by byte, whatever DNS makes of upper case: node
    /// ids that differ in nothing else are different nodes.
    #[must_use]
    pub fn admits(&self, node: &str, names: &Names) -> bool {
        let names = if self.is_uri() {
            &names.uris
        } else {
            &names.dns
        };
        names.iter().any(|name| match &self.after {
            None => *name == self.before,
            Some(after) => {
                let rest = name.strip_prefix(&self.before);
                !node.is_empty() && rest.and_then(|rest| rest.strip_suffix(&**after)) == Some(node)
            }
        })
    }

    fn is_uri(&self) -> bool {
        let after = self.after.as_deref().unwrap_or_default();
        self.before.contains("://") || after.contains("://")
    }
}

impl FromStr for IdentityPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let (before, after) = match text.split_once(NODE) {
            Some((before, after)) => (before, Some(after.to_owned())),
            None => (text, None),
        };
        let rest = || {
            before
                .chars()
                .chain(after.iter().flat_map(|after| after.chars()))
        };
        let is_text = |c: char| c.is_ascii_graphic() && !matches!(c, '{' | '}');
        if text.is_empty() || !rest().all(is_text) {
            return Err(BadPattern(text.to_owned()));
        }
        Ok(Self {
            before: before.to_owned(),
            after,
        })
    }
}

impl TryFrom<String> for IdentityPattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<Self, BadPattern> {
        text.parse()
    }
}

impl From<IdentityPattern> for String {
    fn from(pattern: IdentityPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        match &self.after {
            Some(after) => write!(f, "{NODE}{after}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = self.uris.iter().chain(&self.dns);
        match all.next() {
            Some(first) => f.write_str(first)?,
            None => return f.write_str("no name"),
        }
        all.try_for_each(|name| write!(f, ", {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(uris: &[&str], dns: &[&str]) -> Names {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Names {
            uris: owned(uris),
            dns: owned(dns),
        }
    }

    fn admits(pattern: &str, node: &str, names: &Names) -> bool {
        pattern
            .parse::<IdentityPattern>()
            .unwrap()
            .admits(node, names)
    }

    #[test]
    fn a_name_makes_its_bearer_the_node_that_stands_in_it() {
        let shown = names(&["spiffe://a/x", "spiffe://a/b/c"], &["envoy-0.proxies"]);
        assert!(admits("spiffe://a/{node}", "x", &shown));
        assert!(admits("spiffe://a/{node}", "b/c", &shown));
        assert!(admits("{node}.proxies", "envoy-0", &shown));
        assert!(admits("{node}", "envoy-0.proxies", &shown));
        for (pattern, node) in [
            ("spiffe://a/{node}", "y"),
            ("spiffe://a/{node}", "b"),
            ("spiffe://a/{node}", "X"),
            ("spiffe://b/{node}", "x"),
            ("spiffe://a/{node}/c", "x"),
            ("{node}.proxies", "envoy-1"),
            ("{node}.proxies", "x"),
        ] {
            assert!(!admits(pattern, node, &shown), "{pattern} {node}");
        }
    }

    #[test]
    fn a_pattern_without_node_lets_its_bearer_be_any() {
        let shown = names(&["spiffe://a/proxies"], &[]);
        assert!(admits("spiffe://a/proxies", "anything", &shown));
        assert!(!admits("spiffe://a/others", "anything", &shown));
        assert!(!admits(
            "spiffe://a/proxies",
            "x",
            &names(&[], &["spiffe://a/proxies"])
        ));
    }

    #[test]
    fn names_of_the_other_kind_do_not_count_and_nobody_is_nobody() {
        assert!(!admits("{node}.b", "a", &names(&["a.b"], &[])));
        assert!(!admits("u://{node}", "a", &names(&[], &["u://a"])));
        assert!(!admits("{node}.b", "", &names(&[], &[".b"])));
        assert!(!admits("a{node}a", "", &names(&[], &["aa", "a"])));
        assert!(!admits("{node}.b", "a", &Names::default()));
    }

    #[test]
    fn a_text_that_is_no_pattern_is_refused() {
        for text in [
            "",
            "a b",
            "{node",
            "{nod}",
            "{node}{node}",
            "é/{node}",
            "a}{node}",
        ] {
            let error = text.parse::<IdentityPattern>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("identity {text:?} is not usable: ")),
                "{error}"
            );
        }
        for text in ["spiffe://a/{node}/b", "{node}", "a.b"] {
            assert_eq!(text.parse::<IdentityPattern>().unwrap().to_string(), text);
        }
    }
}
