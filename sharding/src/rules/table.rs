//! Rules made ready for look-up.

use std::collections::HashMap;

use super::{KeyRule, PathPattern, spelling};
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
    ///
    /// A path that a server may read otherwise than it is written (escapes,
    /// doubled slashes, dot segments) is looked up both ways, so that no
    /// spelling leads around a rule: an internal rule counts either way, and
    /// else the reading, unless the path as written is that of an exact rule
    /// or a template, whose variables can have escaped slashes.
    #[must_use]
    pub fn find(&self, path: &[u8]) -> &KeyRule {
        let ends = |byte: &u8| matches!(byte, b'?' | b'#');
        let path = path.split(ends).next().unwrap_or_default();
        let text = std::str::from_utf8(path);
        let written = text.ok().and_then(|path| self.closest(path));
        let found = if spelling::is_plain(path) {
            written
        } else {
            let read = self.closest(&spelling::as_read(path));
            let is_internal = |rule: &&KeyRule| rule.internal;
            let is_literal = |rule: &&KeyRule| !matches!(rule.path, PathPattern::Prefix(_));
            read.filter(is_internal)
                .or(written.filter(is_internal))
                .or(written.filter(is_literal))
                .or(read)
                .or(written)
        };
        found.unwrap_or(&self.default)
    }

    fn closest(&self, path: &str) -> Option<&KeyRule> {
        if let Some(rule) = self.exact.get(path) {
            return Some(rule);
        }
        let by_template = self
            .templates
            .iter()
            .find(|rule| rule.path.variables(path).is_some());
        by_template.or_else(|| {
            let mut prefixes = self.prefixes.iter();
            let by_prefix = prefixes.find(|(prefix, _)| path.starts_with(prefix.as_str()));
            by_prefix.map(|(_, rule)| rule)
        })
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
        assert_eq!(no_key(b"/\xff"), NoKey::Reject);
        assert_eq!(no_key(b"/a/\xff"), fixed("short"));
    }

    #[test]
    fn a_later_rule_replaces_an_earlier_one() {
        for path in ["/a", "/a*", "/{a}"] {
            let rules = Rules::new([rule(path, NoKey::Any), rule(path, fixed("x"))]);
            assert_eq!(rules.find(b"/a").no_key, fixed("x"));
        }
    }

    #[test]
    fn no_spelling_of_a_path_leads_around_an_internal_rule() {
        let internal = |path: &str| KeyRule {
            internal: true,
            ..rule(path, NoKey::Any)
        };
        let rules = Rules::new([
            internal("/in.Service/*"),
            internal("/in.Service/Exact"),
            rule("/open/*", NoKey::Any),
            rule("/{x}/Exact", NoKey::Any),
        ]);
        for path in [
            "/in.Service/Exact",
            "/in.Service//Exact",
            "//in.Service/Exact",
            "/in.Service%2FExact",
            "/in.Service%2fOther",
            "/in.Service/%45xact",
            "/%69n.Service/Exact?x",
            "/in%2eService/%FF",
            "/open/../in.Service/Exact",
            "/open%2f..%2fin.Service/Exact",
            "/in.Service/../open/x",
            "/in.Service\\Exact",
        ] {
            assert!(rules.find(path.as_bytes()).internal, "{path}");
        }
        assert!(rules.find(b"/in.Service/\xff").internal);
        for path in [
            "/open/in.Service/Exact",
            "/open/%2fx",
            "/in.Service%252FExact",
        ] {
            assert!(!rules.find(path.as_bytes()).internal, "{path}");
        }
    }

    #[test]
    fn an_odd_spelling_finds_the_rule_of_what_it_means_but_templates_keep_escaped_slashes() {
        let rules = Rules::new([
            rule("/s/*", fixed("service")),
            rule("/s/Method", fixed("method")),
            rule("/v1/{document}", fixed("template")),
            rule("/v1/a/b", fixed("exact")),
        ]);
        for (path, key) in [
            ("/s/%4dethod", "method"),
            ("/s//Method", "method"),
            ("/s/%4Fther", "service"),
            ("/v1/a%2Fb", "template"),
            ("/v1/a/b", "exact"),
        ] {
            assert_eq!(rules.find(path.as_bytes()).no_key, fixed(key), "{path}");
        }
    }
}
