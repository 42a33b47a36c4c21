//! What is looked for, and what was found of it.

use std::rc::Rc;

use sharding::{Field, FieldPath};
use thiserror::Error;

use super::error::BodyError;

/// Most paths in one search.
pub const MAX_PATHS: usize = 32;

/// Longest value in bytes; no key is anywhere near.
pub const MAX_VALUE_LEN: usize = 4096;

/// Most occurrences of one path that [`Mode::Whole`] reports. More is an error:
/// an occurrence that goes unreported could be the one that the server takes.
pub const MAX_VALUES: usize = 16;

/// The string fields to look for: groups of alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    paths: Vec<Wanted>,
    /// Which paths are in each group.
    groups: Vec<u32>,
    /// The group that is not waited for.
    optional: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    group: usize,
    path: FieldPath,
}

/// Why paths cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SearchError {
    /// Too many of them.
    #[error("a search has {0} field paths: expected at most {MAX_PATHS}")]
    TooManyPaths(usize),
    /// One leads through another, which would be text and message at once.
    #[error("field path {0} leads through {1}, which is a string")]
    ThroughString(FieldPath, FieldPath),
}

/// How far to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until each group has a value: the first one of a path, empty ones passed
    /// over, since protobuf cannot tell empty from absent.
    First,
    /// To the end of the first message, every occurrence of every path.
    Whole,
}

/// What was found, in the order of the message. Groups without a value are
/// those that the message does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    values: Vec<Value>,
}

/// One occurrence of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Which group of the search, from 0.
    pub group: usize,
    /// Which path of the search, from 0, counted through all groups.
    pub path: usize,
    /// The text.
    pub text: String,
}

impl Search {
    /// A search that is satisfied when each group has a value for one of its
    /// paths. An empty group asks for nothing.
    ///
    /// # Errors
    /// Too many paths, or one that leads through another.
    pub fn new(groups: &[&[FieldPath]]) -> Result<Self, SearchError> {
        let wanted = groups.iter().enumerate().flat_map(|(group, paths)| {
            paths.iter().map(move |path| Wanted {
                group,
                path: path.clone(),
            })
        });
        let paths: Vec<_> = wanted.collect();
        if paths.len() > MAX_PATHS {
            return Err(SearchError::TooManyPaths(paths.len()));
        }
        for Wanted { path: outer, .. } in &paths {
            for Wanted { path: inner, .. } in &paths {
                if leads_through(inner, outer) {
                    return Err(SearchError::ThroughString(inner.clone(), outer.clone()));
                }
            }
        }
        let mut masks = vec![0; groups.len()];
        for (index, wanted) in paths.iter().enumerate() {
            if let Some(mask) = masks.get_mut(wanted.group) {
                *mask |= 1 << index;
            }
        }
        Ok(Self {
            paths,
            groups: masks,
            optional: None,
        })
    }

    /// Does not wait for a value of that group: [`Mode::First`] takes one that
    /// it comes by, and stops without it.
    #[must_use]
    pub fn without_waiting_for(mut self, group: usize) -> Self {
        self.optional = Some(group);
        self
    }

    /// The paths of a mask, with their indices.
    fn paths(&self, mask: u32) -> impl Iterator<Item = (usize, &Wanted)> {
        let paths = self.paths.iter().enumerate();
        paths.filter(move |(index, _)| mask & (1 << index) != 0)
    }

    fn is_satisfied(&self, have: u32) -> bool {
        let mut groups = self.groups.iter().enumerate();
        groups.all(|(group, mask)| *mask == 0 || mask & have != 0 || self.optional == Some(group))
    }
}

fn leads_through(inner: &FieldPath, outer: &FieldPath) -> bool {
    let (inner, outer) = (inner.fields(), outer.fields());
    let all = |same: fn(&Field, &Field) -> bool| inner.iter().zip(outer).all(|(a, b)| same(a, b));
    inner.len() > outer.len()
        && (all(|a, b| a.number() == b.number()) || all(|a, b| a.json_name() == b.json_name()))
}

impl Found {
    /// Every value, in the order of the message.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The values of one group of the search, in the order of the message.
    pub fn group(&self, group: usize) -> impl Iterator<Item = &str> {
        self.texts(move |value| value.group == group)
    }

    /// The values of one path of the search, counted through all groups.
    pub fn path(&self, path: usize) -> impl Iterator<Item = &str> {
        self.texts(move |value| value.path == path)
    }

    fn texts(&self, keep: impl Fn(&Value) -> bool) -> impl Iterator<Item = &str> {
        let kept = self.values.iter().filter(move |value| keep(value));
        kept.map(|value| value.text.as_str())
    }
}

/// Where in a message a scanner is: which paths lead here, and how deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    mask: u32,
    depth: usize,
}

impl Place {
    /// Whether no path leads here.
    pub(super) fn is_nowhere(self) -> bool {
        self.mask == 0
    }

    /// Whether this is the message itself.
    pub(super) fn is_root(self) -> bool {
        self.depth == 0
    }
}

/// Takes the values that a scanner comes by.
#[derive(Debug)]
pub(super) struct Collector {
    search: Rc<Search>,
    mode: Mode,
    /// Paths that have a value.
    have: u32,
    satisfied: bool,
    found: Found,
}

impl Collector {
    pub(super) fn new(search: Rc<Search>, mode: Mode) -> Self {
        Self {
            satisfied: mode == Mode::First && search.is_satisfied(0),
            search,
            mode,
            have: 0,
            found: Found::default(),
        }
    }

    /// The message itself.
    pub(super) fn root(&self) -> Place {
        Place {
            mask: self.search.groups.iter().fold(0, |all, mask| all | mask),
            depth: 0,
        }
    }

    /// A field of the message at `place`.
    pub(super) fn below(&self, place: Place, is_field: impl Fn(&Field) -> bool) -> Place {
        let open = match self.mode {
            // What is known is not looked for again.
            Mode::First => place.mask & !self.have,
            Mode::Whole => place.mask,
        };
        let mut mask = 0;
        for (index, wanted) in self.search.paths(open) {
            if wanted.path.fields().get(place.depth).is_some_and(&is_field) {
                mask |= 1 << index;
            }
        }
        Place {
            mask,
            depth: place.depth + 1,
        }
    }

    /// The path that ends at a place: if one does, all do that lead there.
    pub(super) fn ending(&self, place: Place) -> Option<&FieldPath> {
        let (_, wanted) = self.search.paths(place.mask).next()?;
        (wanted.path.fields().len() == place.depth).then_some(&wanted.path)
    }

    /// Length of the longest name that is looked for; no JSON name is longer
    /// than the name it comes from.
    pub(super) fn longest_name(&self) -> usize {
        let paths = self.search.paths.iter();
        let fields = paths.flat_map(|wanted| wanted.path.fields());
        fields.map(|field| field.name().len()).max().unwrap_or(0)
    }

    /// Takes the value of a place where paths end.
    pub(super) fn take(&mut self, place: Place, bytes: Vec<u8>) -> Result<(), BodyError> {
        let Ok(text) = String::from_utf8(bytes) else {
            return self.refuse(place, BodyError::NotUtf8);
        };
        if self.mode == Mode::First && text.is_empty() {
            return Ok(());
        }
        for (index, wanted) in self.search.paths(place.mask) {
            if self.found.path(index).count() >= MAX_VALUES {
                return Err(BodyError::TooManyValues(wanted.path.clone()));
            }
            self.found.values.push(Value {
                group: wanted.group,
                path: index,
                text: text.clone(),
            });
        }
        self.have |= place.mask;
        self.satisfied = self.mode == Mode::First && self.search.is_satisfied(self.have);
        Ok(())
    }

    /// Fails because of the value of a place where paths end.
    pub(super) fn refuse(
        &self,
        place: Place,
        because: fn(FieldPath) -> BodyError,
    ) -> Result<(), BodyError> {
        match self.ending(place) {
            Some(path) => Err(because(path.clone())),
            None => Ok(()),
        }
    }

    /// Whether nothing more has to be read.
    pub(super) fn is_satisfied(&self) -> bool {
        self.satisfied
    }

    pub(super) fn found(&mut self) -> Found {
        std::mem::take(&mut self.found)
    }
}
