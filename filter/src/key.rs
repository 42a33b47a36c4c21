//! From the headers of a request to its one canonical key.

use std::borrow::Cow;

use sharding::{KeyError, Resource, SHARD_KEY, ShardKey, canonical_project};

use crate::headers::Values;
use crate::refusal::Refusal;

/// A key as Envoy will hash it. The usual one is canonical as it was sent and
/// is never copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// This text of the request or of a rule.
    AsIs(&'a str),
    /// Spelled anew.
    Made(ShardKey),
}

impl Key<'_> {
    /// The text that is hashed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::AsIs(text) => text,
            Self::Made(key) => key.as_str(),
        }
    }
}

/// What was odd about the keys of a request and is right now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// Not in canonical spelling.
    pub spelling: bool,
    /// More than one header.
    pub repeated: bool,
    /// No project, although the request names one in `x-api-key`.
    pub project: bool,
}

impl Mended {
    /// Whether anything was.
    #[must_use]
    pub fn any(self) -> bool {
        self.spelling || self.repeated || self.project
    }
}

/// The key that the headers give, and how it differs from what they say;
/// `None` when they give none.
///
/// # Errors
/// A malformed key, two different keys, or a project other than that of
/// `x-api-key`.
pub fn from_headers<'a>(
    shard_keys: &Values<'a>,
    api_keys: &Values<'a>,
    resource: Resource,
) -> Result<Option<(Key<'a>, Mended)>, Refusal> {
    let Some(mut key) = only_key(shard_keys, resource)? else {
        return Ok(None);
    };
    let mut mended = Mended {
        spelling: matches!(key, Key::Made(_)),
        repeated: shard_keys.len() > 1,
        project: false,
    };
    if let Some(project) = only_project(api_keys)?
        && let Some((own, name)) = key.as_str().split_once('/')
    {
        if own.is_empty() {
            let made = ShardKey::from_halves(&project, name, resource);
            key = Key::Made(made.map_err(|error| Refusal::malformed(SHARD_KEY, error))?);
            mended.project = true;
        } else if own != project {
            return Err(Refusal::Forged {
                key: own.to_owned(),
                api_key: project.into_owned(),
            });
        }
    }
    Ok(Some((key, mended)))
}

fn only_key<'a>(values: &Values<'a>, resource: Resource) -> Result<Option<Key<'a>>, Refusal> {
    let mut found: Option<Key<'a>> = None;
    for value in values.filled() {
        let key =
            canonical(value, resource).map_err(|error| Refusal::malformed(SHARD_KEY, error))?;
        match &found {
            None => found = Some(key),
            Some(first) if first.as_str() == key.as_str() => {}
            Some(first) => {
                return Err(Refusal::ConflictingKeys(
                    first.as_str().to_owned(),
                    key.as_str().to_owned(),
                ));
            }
        }
    }
    Ok(found)
}

fn only_project<'a>(values: &Values<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    let mut found: Option<Cow<'a, str>> = None;
    for value in values.filled() {
        let project = canonical_project(value).map_err(|_| Refusal::MalformedApiKey)?;
        match &found {
            None => found = Some(project),
            Some(first) if *first == project => {}
            Some(_) => return Err(Refusal::ConflictingApiKeys),
        }
    }
    Ok(found.filter(|project| !project.is_empty()))
}

fn canonical(value: &[u8], resource: Resource) -> Result<Key<'_>, KeyError> {
    if ShardKey::is_plain(value, resource)
        && let Ok(text) = std::str::from_utf8(value)
    {
        return Ok(Key::AsIs(text));
    }
    let key = ShardKey::from_header(value, resource)?;
    Ok(match std::str::from_utf8(value) {
        Ok(text) if text == key.as_str() => Key::AsIs(text),
        _ => Key::Made(key),
    })
}

#[cfg(test)]
mod tests;
