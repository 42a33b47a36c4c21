//! What a rule looks for in a message, and what was found there.

use std::rc::Rc;

use sharding::{FieldPath, KeyRule, KeySource};

use crate::body::{Found, Mode, Search, SearchError};

/// The fields of a rule, ready to be looked for.
#[derive(Debug, Clone)]
pub struct Fields {
    /// The search.
    pub search: Rc<Search>,
    /// For each key source of the rule, its path in the search.
    keys: Vec<Option<usize>>,
    /// For each project source.
    projects: Vec<Option<usize>>,
}

/// A message that was read for a rule.
#[derive(Debug)]
pub struct Message {
    fields: Fields,
    found: Found,
    mode: Mode,
}

/// The group of ids that are listed behind a key.
const BEHIND: usize = 1;

impl Fields {
    /// The fields of a rule. Its keys are alternatives, and reading stops at
    /// the first; only an id that is listed behind a key does not end it, as it
    /// may stand before the key and say less. The project is always needed.
    ///
    /// # Errors
    /// For fields that cannot be looked for together.
    pub fn of(rule: &KeyRule) -> Result<Self, SearchError> {
        let mut groups: [Vec<FieldPath>; 3] = Default::default();
        let mut place = |group: usize, path: &FieldPath| {
            let paths = groups.get_mut(group)?;
            paths.push(path.clone());
            Some((group, paths.len() - 1))
        };
        let mut has_key = false;
        let keys: Vec<_> = rule
            .keys
            .iter()
            .map(|source| {
                let path = source.field()?;
                let is_id = matches!(source, KeySource::DocumentId(_));
                has_key |= !is_id;
                place(if is_id && has_key { BEHIND } else { 0 }, path)
            })
            .collect();
        let projects: Vec<_> = rule
            .projects
            .iter()
            .map(|source| place(2, source.field()?))
            .collect();
        let sizes = groups.each_ref().map(Vec::len);
        let index = |placed: Option<(usize, usize)>| {
            let (group, index) = placed?;
            Some(sizes.iter().take(group).sum::<usize>() + index)
        };
        let groups = groups.each_ref().map(Vec::as_slice);
        Ok(Self {
            search: Rc::new(Search::new(&groups)?.without_waiting_for(BEHIND)),
            keys: keys.into_iter().map(index).collect(),
            projects: projects.into_iter().map(index).collect(),
        })
    }

    /// With what was found of them.
    #[must_use]
    pub fn message(self, found: Found, mode: Mode) -> Message {
        Message {
            fields: self,
            found,
            mode,
        }
    }
}

impl Message {
    /// Whether all of it was read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.mode == Mode::Whole
    }

    /// What the key source of that index has, empty texts left out.
    pub fn keys(&self, source: usize) -> impl Iterator<Item = &str> {
        self.texts(&self.fields.keys, source)
    }

    /// What the project source of that index has, empty texts left out.
    pub fn projects(&self, source: usize) -> impl Iterator<Item = &str> {
        self.texts(&self.fields.projects, source)
    }

    fn texts(&self, of: &[Option<usize>], source: usize) -> impl Iterator<Item = &str> {
        let path = of.get(source).copied().flatten();
        let texts = path.into_iter().flat_map(|path| self.found.path(path));
        texts.filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Compression, Format, Framing, Progress, Reader, Shape};

    fn read(rule: &str, json: &str) -> Message {
        let rule: KeyRule = serde_json::from_str(rule).unwrap();
        let fields = Fields::of(&rule).unwrap();
        let shape = Shape {
            framing: Framing::Bare,
            format: Format::Json,
            compression: Compression::Identity,
        };
        let mut reader = Reader::new(shape, Rc::clone(&fields.search), Mode::First, 1000);
        match reader.feed(json.as_bytes(), json.ends_with('}')) {
            Progress::Done(found) => fields.message(found, Mode::First),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_source_has_its_own_texts() {
        let message = read(
            r#"{"path":"/a","resource":"document","keys":[{"path":"x"},{"document":"key=1"},{"document_id":"id=2"}],"projects":["credentials",{"name":"project=3"}]}"#,
            r#"{"id":"i","key":"k","project":"p","#,
        );
        let texts = |source| message.keys(source).collect::<Vec<_>>();
        assert_eq!(
            [texts(0), texts(1), texts(2)],
            [vec![], vec!["k"], vec!["i"]]
        );
        assert!(message.projects(1).eq(["p"]));
        assert_eq!(message.projects(0).count(), 0);
    }

    #[test]
    fn an_id_that_is_listed_behind_a_key_is_not_waited_for() {
        let rule = r#"{"path":"/a","resource":"document","keys":[{"document":"key=1"},{"document_id":"id=2"}]}"#;
        let message = read(rule, r#"{"key":"k","#);
        assert!(message.keys(0).eq(["k"]));
        let message = read(rule, r#"{"id":"i","other":1}"#);
        assert!(message.keys(1).eq(["i"]));
    }

    #[test]
    fn an_id_is_enough_where_it_is_listed_first() {
        let message = read(
            r#"{"path":"/a","resource":"document","keys":[{"document_id":"id=1"},{"channel":"key=2"}]}"#,
            r#"{"id":"i","#,
        );
        assert!(message.keys(0).eq(["i"]));
    }
}
