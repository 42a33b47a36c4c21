//! Requests with a key in their header.

use sharding::{KeySource, ProjectSource, Resource, ShardKey, Verify};

use super::place::{self, REQUEST_LINE};
use super::{Body, Derived, Ids, Request, Source, Step, message};
use crate::fields::Message;
use crate::key::{self, Key, Mended};
use crate::project::{self, Reading, Stated};
use crate::refusal::Refusal;

impl<'a> Request<'a> {
    pub(super) fn with_header(
        &self,
        found: (Key<'a>, Mended),
        resource: Resource,
        body: Body<'_>,
        ids: &impl Ids,
    ) -> Result<Step<'a>, Refusal> {
        let is_open = self.rule.is_ambiguous() && found.0.halves().1.contains('.');
        let names_project = !found.0.halves().0.is_empty();
        self.compare_outside(&found.0, resource)?;
        if matches!(body, Body::Unread) && (is_open || self.is_verified()) {
            // What is wrong for certain is refused before anything is read.
            let stated = project::stated(self, Reading::Skipped)?;
            key::with_project(found, resource, &stated, "")?;
            return Ok(Step::Read(self.reading_mode()));
        }
        let reading = match body {
            Body::Read(message) => Reading::Read(message),
            // A project in the header is compared with that of the message only where the message is read anyway.
            Body::Unread if !names_project => Reading::Unread,
            Body::Unread | Body::Absent => Reading::Skipped,
        };
        let stated = project::stated(self, reading)?;
        match stated {
            Stated::Unread => return Ok(Step::Read(self.reading_mode())),
            Stated::Unknown if !names_project => {
                return self.without_key(&stated, None).map(Step::Route);
            }
            Stated::Nothing => self.compare_with_default(&found.0)?,
            _ => {}
        }
        let default = &self.current.default_project;
        let (mut key, mut mended) = key::with_project(found, resource, &stated, default)?;
        let mut source = Source::Header;
        let mut is_in_message = false;
        if let Body::Read(message) = body {
            if is_open && self.names_channel(message) {
                let (project, name) = key.halves();
                let cut = ShardKey::from_halves(project, name, Resource::Channel)
                    .map_err(|error| Refusal::malformed(key::HEADER, error))?;
                key = Key::Made(cut);
                mended.spelling = true;
            }
            if let Some(client) = self.other_client(&key, message)? {
                key = Key::Made(client);
                source = Source::Body;
                mended.client = true;
            }
            is_in_message = self.compare((&key, key::HEADER), message, ids)?;
        }
        Ok(Step::Route(Derived {
            key: Some(key),
            source,
            mended,
            is_in_message,
        }))
    }

    /// Compares the header with the first place outside the message that has a
    /// key, which costs no look into the message.
    fn compare_outside(&self, key: &Key<'_>, resource: Resource) -> Result<(), Refusal> {
        let places = self.rule.keys.iter();
        for source in places.filter(|source| source.field().is_none()) {
            let (project, _) = key.halves();
            let texts = self.outside(source);
            match place::only(project, resource, &texts)? {
                Some(other) if other.as_str() != key.as_str() => {
                    return Err(Refusal::Mismatch {
                        place: key::HEADER,
                        key: key.as_str().to_owned(),
                        other_place: REQUEST_LINE,
                        other: other.to_string(),
                    });
                }
                Some(_) => return Ok(()),
                None => {}
            }
        }
        Ok(())
    }

    /// Refuses the key of another project than the default one, where that is
    /// what the server takes for want of an `x-api-key`, and headers are not
    /// believed.
    fn compare_with_default(&self, key: &Key<'_>) -> Result<(), Refusal> {
        let (own, default) = (key.halves().0, self.current.default_project.as_str());
        // Credentials of another kind than a project's secret key may be for any project.
        let is_telling = !self.rule.projects.contains(&ProjectSource::Credentials);
        let differs = !own.is_empty() && !default.is_empty() && own != default;
        if self.current.config.verify == Verify::Body && is_telling && differs {
            return Err(Refusal::Forged {
                key: own.to_owned(),
                place: project::DEFAULT,
                project: default.to_owned(),
            });
        }
        Ok(())
    }

    /// The client of the message, if that is another than the header's. Clients
    /// spell their free text in ways that a header cannot carry, so the two are
    /// never held against each other: the message counts, as for the server.
    fn other_client(&self, key: &Key<'_>, message: &Message) -> Result<Option<ShardKey>, Refusal> {
        for (index, source) in self.rule.keys.iter().enumerate() {
            if matches!(source, KeySource::Client(_))
                && let Some(text) = message.keys(index).next()
            {
                let (project, _) = key.halves();
                let client = message::key(project, text, Resource::Client)?;
                return Ok((client.as_str() != key.as_str()).then_some(client));
            }
        }
        Ok(None)
    }
}
