//! Which project a request is about.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use sharding::{
    AUTHORIZATION, Project, ProjectSource, Sha256Hash, canonical_project, decode_text,
    percent_decode,
};

use crate::derive::Request;
use crate::fields::Message;
use crate::headers::Values;
use crate::refusal::Refusal;
use crate::rpc::query;

/// Scheme of `authorization` with a project's secret key (Yorkie's
/// `AdminService`).
const SECRET_KEY_SCHEME: &[u8] = b"api-key";

/// The project of a request, as far as the request says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stated<'a> {
    /// This one, canonical, named here.
    Named(Cow<'a, str>, &'static str),
    /// One that is not configured.
    Unknown,
    /// None: it is the default project's.
    Nothing,
    /// The message says it, and was not read.
    Unread,
}

/// How to take what the message says.
#[derive(Debug, Clone, Copy)]
pub enum Reading<'m> {
    /// It does not matter.
    Skipped,
    /// It was not read yet.
    Unread,
    /// It was read.
    Read(&'m Message),
}

/// Looks where the rule says, then at `x-api-key`.
///
/// # Errors
/// For a project that is malformed or given twice.
pub fn stated<'a>(request: &Request<'a>, reading: Reading<'_>) -> Result<Stated<'a>, Refusal> {
    for (index, source) in request.rule.projects.iter().enumerate() {
        let found = match (source, reading) {
            (ProjectSource::Credentials, _) => by_secret(request)?,
            (ProjectSource::Path(variable), _) => {
                let text = request.path_variable(variable);
                named(text.as_deref(), "the project of the path")?
            }
            (ProjectSource::Query(name), _) => {
                let texts = query::values(request.headers.path, name);
                let texts: Vec<_> = texts.iter().map(|text| decode_text(text)).collect();
                only(texts.iter().map(AsRef::as_ref), "the project of the query")?
            }
            (ProjectSource::Header(name), _) => {
                let values = request.headers.values(name);
                let texts: Vec<_> = values.filled().map(decode_text).collect();
                only(texts.iter().map(AsRef::as_ref), "the project of the header")?
            }
            (_, Reading::Skipped) => Stated::Nothing,
            (_, Reading::Unread) => Stated::Unread,
            (source, Reading::Read(message)) => by_message(request, source, message, index)?,
        };
        if found != Stated::Nothing {
            return Ok(found);
        }
    }
    Ok(match by_api_key(&request.headers.api_keys)? {
        Some(project) => Stated::Named(project, HEADER_API_KEY),
        None => Stated::Nothing,
    })
}

/// Where `x-api-key` is, for messages.
pub(crate) const HEADER_API_KEY: &str = "header x-api-key";
/// Why it is the default project, for messages.
pub(crate) const DEFAULT: &str = "without header x-api-key the project";
const MESSAGE: &str = "the project of the message";

fn by_secret<'a>(request: &Request<'a>) -> Result<Stated<'a>, Refusal> {
    let values = request.headers.values(AUTHORIZATION);
    let Some(value) = values.filled().next() else {
        return Ok(Stated::Nothing);
    };
    let mut halves = value.trim_ascii().splitn(2, |&byte| byte == b' ');
    let scheme = halves.next().unwrap_or_default();
    let secret = halves.next().unwrap_or_default().trim_ascii();
    // Yorkie takes a blank secret for its default project.
    if !scheme.eq_ignore_ascii_case(SECRET_KEY_SCHEME) || secret.is_empty() {
        return Ok(Stated::Nothing);
    }
    let hash = Some(Sha256Hash::new(Sha256::digest(secret).into()));
    configured(
        request,
        |project| project.secret_key_sha256 == hash,
        "the project of header authorization",
    )
}

fn by_message<'a>(
    request: &Request<'a>,
    source: &ProjectSource,
    message: &Message,
    index: usize,
) -> Result<Stated<'a>, Refusal> {
    let mut texts = message.projects(index);
    let Some(first) = texts.next() else {
        return Ok(Stated::Nothing);
    };
    if let Some(other) = texts.find(|other| *other != first) {
        return Err(Refusal::Ambiguous {
            place: MESSAGE,
            first: first.to_owned(),
            second: other.to_owned(),
        });
    }
    match source {
        ProjectSource::Name(_) => configured(request, |project| project.name == first, MESSAGE),
        ProjectSource::Id(_) => configured(
            request,
            |project| project.id.as_deref() == Some(first),
            MESSAGE,
        ),
        _ => named(Some(first), MESSAGE),
    }
}

fn configured<'a>(
    request: &Request<'a>,
    is_it: impl Fn(&Project) -> bool,
    place: &'static str,
) -> Result<Stated<'a>, Refusal> {
    let projects = &request.current.config.projects;
    match projects.iter().find(|project| is_it(project)) {
        Some(project) => named(Some(&project.public_key), place),
        None => Ok(Stated::Unknown),
    }
}

fn named<'a>(text: Option<&str>, place: &'static str) -> Result<Stated<'a>, Refusal> {
    let Some(text) = text else {
        return Ok(Stated::Nothing);
    };
    let project =
        canonical_project(text.as_bytes()).map_err(|_| Refusal::MalformedProject(place))?;
    Ok(if project.is_empty() {
        Stated::Nothing
    } else {
        Stated::Named(Cow::Owned(project.into_owned()), place)
    })
}

fn only<'a, 't>(
    texts: impl Iterator<Item = &'t str>,
    place: &'static str,
) -> Result<Stated<'a>, Refusal> {
    let mut found = Stated::Nothing;
    for text in texts {
        match (&found, named(Some(text), place)?) {
            (_, Stated::Nothing) => {}
            (Stated::Named(first, _), Stated::Named(second, _)) if *first != second => {
                return Err(Refusal::Ambiguous {
                    place,
                    first: first.clone().into_owned(),
                    second: second.into_owned(),
                });
            }
            (_, project) => found = project,
        }
    }
    Ok(found)
}

pub(crate) fn by_api_key<'a>(values: &Values<'a>) -> Result<Option<Cow<'a, str>>, Refusal> {
    let mut found: Option<Cow<'a, str>> = None;
    // Empty ones too: of repeated headers Yorkie's servers take the first, and an empty one names the default project.
    for value in values.all() {
        let project =
            canonical_project(value).map_err(|_| Refusal::MalformedProject(HEADER_API_KEY))?;
        match &found {
            None => found = Some(project),
            Some(first) if *first == project => {}
            Some(_) => return Err(Refusal::ConflictingApiKeys),
        }
    }
    Ok(found.filter(|project| !project.is_empty()))
}

/// The decoded text of a path segment.
pub(crate) fn path_text(segment: &str) -> String {
    decode_text(&percent_decode(segment.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_api_key_is_its_header() {
        assert!(HEADER_API_KEY.ends_with(sharding::API_KEY));
    }
}
