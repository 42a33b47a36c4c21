//! The list of callbacks that stay.

use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;

/// Names of callbacks that stay exported.
///
/// As text: one a line, and behind it the reason, which must be there. Lines
/// that are empty or start with `#` say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep(BTreeSet<String>);

/// Why a text is no list.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeepError {
    /// A name without a reason.
    #[error("line {line}: {name} has no reason: say what is lost without it")]
    NoReason {
        /// Counted from 1.
        line: usize,
        /// As written.
        name: String,
    },
    /// A name that is there already.
    #[error("line {line}: {name} is there twice")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// As written.
        name: String,
    },
}

impl Keep {
    /// Whether that callback stays.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Every name, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromStr for Keep {
    type Err = KeepError;

    fn from_str(text: &str) -> Result<Self, KeepError> {
        let mut names = BTreeSet::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, _reason)) = line.split_once(char::is_whitespace) else {
                return Err(KeepError::NoReason {
                    line: line_number,
                    name: line.to_owned(),
                });
            };
            if !names.insert(name.to_owned()) {
                return Err(KeepError::Twice {
                    line: line_number,
                    name: name.to_owned(),
                });
            }
        }
        Ok(Self(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_comments_are_not() {
        let keep: Keep = "# why\n\nproxy_on_tick  it ticks\n  proxy_on_log\tlogs # so\n"
            .parse()
            .unwrap();
        assert_eq!(
            keep.names().collect::<Vec<_>>(),
            ["proxy_on_log", "proxy_on_tick"]
        );
        assert!(keep.contains("proxy_on_tick"));
        assert!(!keep.contains("#"));
    }

    #[test]
    fn a_name_needs_a_reason_and_stands_once() {
        let read = |text: &str| text.parse::<Keep>().unwrap_err().to_string();
        assert_eq!(
            read("\nproxy_on_tick \n"),
            "line 2: proxy_on_tick has no reason: say what is lost without it"
        );
        assert_eq!(read("a x\nb y\na z"), "line 3: a is there twice");
    }
}
