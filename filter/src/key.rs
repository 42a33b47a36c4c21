//! The key in the header of a request.

use sharding::{KeyError, Resource, ShardKey};

use crate::headers::Values;
use crate::project::Stated;
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

    /// Project and resource; of a canonical key, both are there.
    #[must_use]
    pub fn halves(&self) -> (&str, &str) {
        self.as_str().split_once('/').unwrap_or_default()
    }
}

/// What was odd about the keys of a request and is right now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // any of them can come with any other
pub struct Mended {
    /// Not in canonical spelling.
    pub spelling: bool,
    /// More than one header.
    pub repeated: bool,
    /// No project, although the request names one, or there is a default.
    pub project: bool,
    /// Another client than the message's.
    pub client: bool,
}

impl Mended {
    /// Whether anything was.
    #[must_use]
    pub fn any(self) -> bool {
        self.spelling || self.repeated || self.project || self.client
    }
}

/// The canonical key in the headers, and how it differs from what they say;
/// `None` when they have none.
///
/// # Errors
/// A malformed key, or two different ones.
pub fn from_header<'a>(
    values: &Values<'a>,
    resource: Resource,
) -> Result<Option<(Key<'a>, Mended)>, Refusal> {
    let Some(key) = only_key(values, resource)? else {
        return Ok(None);
    };
    let mended = Mended {
        spelling: matches!(key, Key::Made(_)),
        repeated: values.len() > 1,
        ..Mended::default()
    };
    Ok(Some((key, mended)))
}

/// Gives a key without a project the one that is stated, else `default`; both
/// are canonical.
///
/// # Errors
/// For a key of another project than the one that is stated.
pub fn with_project<'a>(
    (key, mended): (Key<'a>, Mended),
    resource: Resource,
    stated: &Stated<'_>,
    default: &str,
) -> Result<(Key<'a>, Mended), Refusal> {
    let (own, name) = key.halves();
    let project = match stated {
        Stated::Named(project, place) => {
            if !own.is_empty() && own != project {
                return Err(Refusal::Forged {
                    key: own.to_owned(),
                    place,
                    project: project.clone().into_owned(),
                });
            }
            project.as_ref()
        }
        Stated::Nothing => default,
        Stated::Unknown | Stated::Unread => "",
    };
    if !own.is_empty() || project.is_empty() {
        return Ok((key, mended));
    }
    let made = ShardKey::from_halves(project, name, resource);
    let made = made.map_err(|error| Refusal::malformed(HEADER, error))?;
    let mended = Mended {
        project: true,
        ..mended
    };
    Ok((Key::Made(made), mended))
}

/// Where the key is, for messages.
pub const HEADER: &str = "header x-shard-key";

fn only_key<'a>(values: &Values<'a>, resource: Resource) -> Result<Option<Key<'a>>, Refusal> {
    let mut found: Option<Key<'a>> = None;
    for value in values.filled() {
        let key = canonical(value, resource).map_err(|error| Refusal::malformed(HEADER, error))?;
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
