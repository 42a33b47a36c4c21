//! Rules made ready for look-up.

use std::collections::HashMap;

use super::{KeyRule, PathPattern};
use crate::key::Resource;

/// Rules by path: the exact one first, then the template with the most literal
/// segments, then the longest prefix, then the default (a document key in the
/// header, else refused).
#[derive(Debug, Clone)]
pub struct Rules {
    exact: HashMap<String, KeyRule>,
    /// Most literal segments first.
    templates: Vec<KeyRule>,
    /// Longest first.
    prefixes: Vec<(String, KeyRule)>,
    default: KeyRule,
}

impl Rules {
    /// Collects rules; a later rule replaces an earlier one of the same path.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = KeyRule>) -> Self {
        let mut exact = HashMap::new();
        let mut templates: Vec<KeyRule> = Vec::new();
        let mut by_prefix = HashMap::new();
        for rule in rules {
            match &rule.path {
                PathPattern::Exact(path) => {
                    exact.insert(path.clone(), rule);
                }
                PathPattern::Prefix(path) => {
                    by_prefix.insert(path.clone(), rule);
                }
                PathPattern::Template(_) => {
                    templates.retain(|other| other.path != rule.path);
                    templates.push(rule);
                }
            }
        }
        templates.sort_by_key(|rule| std::cmp::Reverse(rule.path.literals()));
        let mut prefixes: Vec<_> = by_prefix.into_iter().collect();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self {
            exact,
            templates,
            prefixes,
            default: KeyRule::keyed(PathPattern::Prefix("/".to_owned()), Resource::Document),
        }
    }

    /// The rule for a request's `:path`; its query is ignored.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> &KeyRule {
        let Ok(path) = std::str::from_utf8(path) else {
            return &self.default;
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if let Some(rule) = self.exact.get(path) {
            return rule;
        }
        let by_template = self
            .templates
            .iter()
            .find(|rule| rule.path.variables(path).is_some());
        if let Some(rule) = by_template {
            return rule;
        }
        let by_prefix = self
            .prefixes
            .iter()
            .find(|(prefix, _)| path.starts_with(prefix.as_str()));
        by_prefix.map_or(&self.default, |(_, rule)| rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::NoKey;

    fn rule(path: &str, no_key: NoKey) -> KeyRule {
        KeyRule::unkeyed(path.to_owned().try_into().unwrap(), no_key)
    }

    fn fixed(text: &str) -> NoKey {
        NoKey::Fixed(text.to_owned())
    }

    #[test]
    fn the_closest_rule_wins() {
        let rules = Rules::new([
            rule("/a/*", fixed("short")),
            rule("/a/b/*", fixed("long")),
            rule("/a/b/c", NoKey::Any),
            rule("/{x}/b/{y}", fixed("loose")),
            rule("/a/b/{y}", fixed("tight")),
        ]);
        let no_key = |path: &[u8]| rules.find(path).no_key.clone();
        assert_eq!(no_key(b"/a/b/c"), NoKey::Any);
        assert_eq!(no_key(b"/a/b/c?x=/a/"), NoKey::Any);
        assert_eq!(no_key(b"/a/b/d"), fixed("tight"));
        assert_eq!(no_key(b"/z/b/d"), fixed("loose"));
        assert_eq!(no_key(b"/a/b/c/d"), fixed("long"));
        assert_eq!(no_key(b"/a/x"), fixed("short"));
        assert_eq!(no_key(b"/b"), NoKey::Reject);
        assert_eq!(no_key(b"/a/\xff"), NoKey::Reject);
    }

    #[test]
    fn a_later_rule_replaces_an_earlier_one() {
        for path in ["/a", "/a*", "/{a}"] {
            let rules = Rules::new([rule(path, NoKey::Any), rule(path, fixed("x"))]);
            assert_eq!(rules.find(b"/a").no_key, fixed("x"));
        }
    }
}
