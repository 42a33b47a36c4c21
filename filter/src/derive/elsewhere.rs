//! Requests without a key in their header: it is where the rule says.

use sharding::{Resource, ShardKey};

use super::place::{self, REQUEST_LINE};
use super::{Body, Derived, Ids, Request, Source, Step, message};
use crate::key::{Key, Mended};
use crate::project::{self, Reading, Stated};
use crate::refusal::Refusal;

/// What the places of a rule have.
enum Found<'m> {
    /// A key.
    Key(ShardKey, Source),
    /// The id of a document whose key was never learned, and no key.
    UnknownId(&'m str),
    /// Neither.
    Nothing,
}

impl<'a> Request<'a> {
    pub(super) fn without_header(
        &self,
        resource: Resource,
        body: Body<'_>,
        ids: &impl Ids,
    ) -> Result<Step<'a>, Refusal> {
        let reading = match body {
            Body::Unread => Reading::Unread,
            Body::Absent => Reading::Skipped,
            Body::Read(message) => Reading::Read(message),
        };
        if matches!(body, Body::Unread) && self.needs_message() {
            return Ok(Step::Read(self.reading_mode()));
        }
        let stated = project::stated(self, reading)?;
        let project = match &stated {
            Stated::Named(project, _) => project.as_ref(),
            Stated::Nothing => self.current.default_project.as_str(),
            Stated::Unread => return Ok(Step::Read(self.reading_mode())),
            // A guess at the project would be a guess at the owner.
            Stated::Unknown => return self.without_key(&stated, None).map(Step::Route),
        };
        let (key, source) = match self.look(project, resource, body, ids)? {
            Found::Key(key, source) => (Key::Made(key), source),
            Found::UnknownId(id) => {
                return self.without_key(&stated, Some(id)).map(Step::Route);
            }
            Found::Nothing => return self.without_key(&stated, None).map(Step::Route),
        };
        if let Body::Read(message) = body
            && message.is_whole()
        {
            self.compare((&key, REQUEST_LINE), message, ids)?;
        }
        Ok(Step::Route(Derived {
            key: Some(key),
            source,
            mended: Mended::default(),
            is_in_message: source == Source::Body,
        }))
    }

    /// Whether a request without a key in its header can only be routed by its
    /// message: no place before the first field has a key, or all is compared.
    fn needs_message(&self) -> bool {
        let fields = self
            .rule
            .keys
            .iter()
            .position(|source| source.field().is_some());
        let Some(first) = fields else {
            return false;
        };
        let before = self.rule.keys.iter().take(first);
        self.is_verified()
            || before
                .flat_map(|source| self.outside(source))
                .next()
                .is_none()
    }

    /// The first key of the rule's places that the request has.
    fn look<'m>(
        &self,
        project: &str,
        resource: Resource,
        body: Body<'m>,
        ids: &impl Ids,
    ) -> Result<Found<'m>, Refusal> {
        let mut without = Found::Nothing;
        for (index, source) in self.rule.keys.iter().enumerate() {
            if source.field().is_none() {
                let texts = self.outside(source);
                if let Some(key) = place::only(project, resource, &texts)? {
                    return Ok(Found::Key(key, Source::RequestLine));
                }
            } else if let Body::Read(message) = body
                && let Some(text) = message.keys(index).next()
            {
                if let Some(resource) = message::resource(source) {
                    let key = message::key(project, text, resource)?;
                    return Ok(Found::Key(key, Source::Body));
                }
                if let Some(key) = ids.find(project, text)? {
                    return Ok(Found::Key(key, Source::Learned));
                }
                without = Found::UnknownId(text);
            }
        }
        Ok(without)
    }
}
