//! Keys in a message, and their comparison with the one that a request is
//! routed by.

use sharding::{KeySource, Resource, ShardKey};

use super::{Ids, Request};
use crate::fields::Message;
use crate::key::Key;
use crate::refusal::Refusal;

const PLACE: &str = "the message";

/// What a field with a key names; `None` for an id and for other places.
pub(super) fn resource(source: &KeySource) -> Option<Resource> {
    match source {
        KeySource::Document(_) => Some(Resource::Document),
        KeySource::Channel(_) => Some(Resource::Channel),
        KeySource::Client(_) => Some(Resource::Client),
        _ => None,
    }
}

/// The key of a text of the message.
pub(super) fn key(project: &str, text: &str, resource: Resource) -> Result<ShardKey, Refusal> {
    ShardKey::from_halves(project, text, resource).map_err(|error| Refusal::malformed(PLACE, error))
}

impl Request<'_> {
    /// Whether the message names a channel.
    pub(super) fn names_channel(&self, message: &Message) -> bool {
        let mut sources = self.rule.keys.iter().enumerate();
        sources.any(|(index, source)| {
            matches!(source, KeySource::Channel(_)) && message.keys(index).next().is_some()
        })
    }

    /// Compares a key with those that the message names, by key and, where all
    /// of it was read, by learned id. Returns whether it names any by key.
    pub(super) fn compare(
        &self,
        (with, place): (&Key<'_>, &'static str),
        message: &Message,
        ids: &impl Ids,
    ) -> Result<bool, Refusal> {
        let (project, _) = with.halves();
        let mut named: Vec<ShardKey> = Vec::new();
        let mut is_named = false;
        let mut some_id: Option<&str> = None;
        for (index, source) in self.rule.keys.iter().enumerate() {
            let mut first_id: Option<&str> = None;
            for text in message.keys(index) {
                if let Some(resource) = resource(source) {
                    named.push(key(project, text, resource)?);
                    is_named = true;
                } else if message.is_whole() {
                    match first_id {
                        // Two ids are two documents, whether their keys are known or not.
                        Some(first) if first != text && !self.rule.many => {
                            return Err(Refusal::Ambiguous {
                                place: PLACE,
                                first: first.to_owned(),
                                second: text.to_owned(),
                            });
                        }
                        Some(_) => {}
                        None => {
                            first_id = Some(text);
                            some_id = Some(text);
                            named.extend(ids.find(project, text)?);
                        }
                    }
                }
            }
        }
        if let (Some(id), true, Some(key)) = (some_id, self.rule.is_ambiguous(), named.first())
            && is_named
        {
            return Err(Refusal::Ambiguous {
                place: PLACE,
                first: id.to_owned(),
                second: key.to_string(),
            });
        }
        let is_it = |key: &ShardKey| key.as_str() == with.as_str();
        if self.rule.many && named.iter().any(is_it) {
            return Ok(is_named);
        }
        let Some(other) = named.iter().find(|key| !is_it(key)) else {
            return Ok(is_named);
        };
        match named.iter().find(|key| *key != other) {
            Some(first) => Err(Refusal::Ambiguous {
                place: PLACE,
                first: first.to_string(),
                second: other.to_string(),
            }),
            None => Err(Refusal::Mismatch {
                place,
                key: with.as_str().to_owned(),
                other_place: PLACE,
                other: other.to_string(),
            }),
        }
    }
}
