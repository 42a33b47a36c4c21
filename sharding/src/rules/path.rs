//! Patterns of request paths.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RuleError;

/// The path of a request, without its query: exactly this one; with
/// `{variables}`, each a whole segment; or, with a `*` at the end, every path
/// that begins so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PathPattern {
    /// Exactly this path.
    Exact(String),
    /// Every path of as many segments that has these literal ones.
    Template(Vec<Segment>),
    /// Every path that starts with this text.
    Prefix(String),
}

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// Any text but an empty one, known by this name.
    Variable(String),
}

/// The variables of a template with their values in one path, as they stand
/// there (percent-encoded).
pub type Variables<'a> = Vec<(&'a str, &'a str)>;

impl PathPattern {
    /// Whether the pattern has that variable.
    #[must_use]
    pub fn has(&self, variable: &str) -> bool {
        let Self::Template(segments) = self else {
            return false;
        };
        let is_it =
            |segment: &Segment| matches!(segment, Segment::Variable(name) if name == variable);
        segments.iter().any(is_it)
    }

    /// The variables of `path`, which has no query; `None` when the pattern is
    /// not of that path.
    #[must_use]
    pub fn variables<'a>(&'a self, path: &'a str) -> Option<Variables<'a>> {
        match self {
            Self::Exact(exact) => (path == exact).then(Vec::new),
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()).then(Vec::new),
            Self::Template(segments) => {
                let mut rest = path.strip_prefix('/')?.split('/');
                let mut variables = Vec::new();
                for segment in segments {
                    let text = rest.next()?;
                    match segment {
                        Segment::Literal(literal) if literal == text => {}
                        Segment::Variable(name) if !text.is_empty() => {
                            variables.push((name.as_str(), text));
                        }
                        _ => return None,
                    }
                }
                rest.next().is_none().then_some(variables)
            }
        }
    }

    /// How many literal segments a template has: the more, the closer it fits.
    pub(super) fn literals(&self) -> usize {
        match self {
            Self::Template(segments) => segments
                .iter()
                .filter(|segment| matches!(segment, Segment::Literal(_)))
                .count(),
            Self::Exact(_) | Self::Prefix(_) => 0,
        }
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        match text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(name) => {
                let named = !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                named.then(|| Self::Variable(name.to_owned()))
            }
            None => (!text.contains(['{', '}'])).then(|| Self::Literal(text.to_owned())),
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
        let has_variables = path.contains(['{', '}']);
        if !path.starts_with('/') || path.contains(['*', '?', '#']) || (is_prefix && has_variables)
        {
            return Err(RuleError::Path(text));
        }
        if is_prefix {
            return Ok(Self::Prefix(path.to_owned()));
        }
        if !has_variables {
            return Ok(Self::Exact(text));
        }
        let segments: Option<Vec<_>> = path.split('/').skip(1).map(Segment::parse).collect();
        segments.map(Self::Template).ok_or(RuleError::Path(text))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Prefix(path) => write!(f, "{path}*"),
            Self::Template(segments) => segments.iter().try_for_each(|segment| match segment {
                Segment::Literal(text) => write!(f, "/{text}"),
                Segment::Variable(name) => write!(f, "/{{{name}}}"),
            }),
        }
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn a_pattern_reads_back_as_itself() {
        for text in [
            "/",
            "/a/b",
            "/a/*",
            "/a*",
            "/{x}",
            "/v1/{p}/docs/{d}",
            "/{p}/",
        ] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn a_template_gives_its_variables() {
        let template = pattern("/v1/projects/{project}/documents/{document}");
        assert_eq!(
            template.variables("/v1/projects/p/documents/d%20"),
            Some(vec![("project", "p"), ("document", "d%20")])
        );
        for path in [
            "/v1/projects/p/documents",
            "/v1/projects/p/documents/",
            "/v1/projects/p/documents/d/",
            "/v2/projects/p/documents/d",
            "v1/projects/p/documents/d",
        ] {
            assert_eq!(template.variables(path), None, "{path}");
        }
        assert!(template.has("project") && !template.has("projects"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "", "x", "/a*b", "/a?b", "*", "/{}", "/a{b}", "/{a", "/{a}/*", "/{a b}",
        ] {
            assert_eq!(
                PathPattern::try_from(text.to_owned()),
                Err(RuleError::Path(text.to_owned()))
            );
        }
    }
}
