//! The decision on one request: headers and the current state in, what to
//! write out. Pure.

use sharding::{KeyRule, NoKey};

use crate::headers::RequestHeaders;
use crate::key::{self, Key, Mended};
use crate::refusal::Refusal;
use crate::state::Current;

/// How a request that is routed has to look.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What Envoy will hash; `None`: any member will do.
    pub key: Option<Key<'a>>,
    /// Where it comes from.
    pub source: Source,
    /// What is right now and was not.
    pub mended: Mended,
    /// What happens to `x-shard-key`.
    pub shard_key: Change,
    /// What happens to `x-shard-owner`.
    pub owner: Change,
    /// Who owns the key, as far as the filter knows.
    pub owner_id: Option<&'a str>,
}

/// Where the key of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Its header.
    Header,
    /// The rule of its path.
    Fixed,
    /// Nowhere: it has none and needs none.
    Any,
}

/// What happens to a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is right already, or absent and shall be.
    Keep,
    /// It becomes the only one of its name.
    Set,
    /// Every one of its name goes.
    Remove,
}

/// Decides on a request.
///
/// # Errors
/// Why it must not be routed.
pub fn decide<'a>(
    headers: &RequestHeaders<'a>,
    current: &'a Current,
) -> Result<Verdict<'a>, Refusal> {
    let rule = current.rules.find(headers.path);
    let found = match rule.resource {
        Some(resource) => key::from_headers(&headers.shard_keys, &headers.api_keys, resource)?,
        None => None,
    };
    let (key, source, mended) = if let Some((key, mended)) = found {
        (Some(key), Source::Header, mended)
    } else {
        let (key, source) = without_key(headers, rule)?;
        (key, source, Mended::default())
    };
    let owner_id = match (&key, &current.assignment) {
        (Some(key), Some(assignment)) => assignment
            .owner(key.as_str().as_bytes())
            .map(|owner| owner.member.id.as_str()),
        _ => None,
    };
    let shard_key = match &key {
        None if headers.shard_keys.is_empty() => Change::Keep,
        None => Change::Remove,
        Some(_) if source == Source::Header && !mended.any() => Change::Keep,
        Some(_) => Change::Set,
    };
    let owner = match owner_id {
        Some(_) => Change::Set,
        None if headers.has_owner => Change::Remove,
        None => Change::Keep,
    };
    Ok(Verdict {
        key,
        source,
        mended,
        shard_key,
        owner,
        owner_id,
    })
}

fn without_key<'a>(
    headers: &RequestHeaders<'a>,
    rule: &'a KeyRule,
) -> Result<(Option<Key<'a>>, Source), Refusal> {
    match &rule.no_key {
        NoKey::Fixed(text) => Ok((Some(Key::AsIs(text)), Source::Fixed)),
        NoKey::Any => Ok((None, Source::Any)),
        // A browser asks before it sends the request with the key, and any server gives the same answer.
        NoKey::Reject if is_cors_preflight(headers) => Ok((None, Source::Any)),
        NoKey::Project => Err(Refusal::NoKey),
        NoKey::Reject if rule.resource.is_none() => Err(Refusal::Closed),
        NoKey::Reject => Err(Refusal::NoKey),
    }
}

fn is_cors_preflight(headers: &RequestHeaders<'_>) -> bool {
    headers.method == b"OPTIONS" && headers.has_cors_method
}
