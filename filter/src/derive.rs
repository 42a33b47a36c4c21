//! Which key a request has: from its header, else from where its rule says
//! that it is, else the rule's answer. Pure but for the look-up of learned ids.

mod answer;
mod message;
mod place;

use sha2::{Digest, Sha256};
use sharding::{CLUSTER_SECRET, KeyRule, KeySource, Resource, Sha256Hash, ShardKey, Verify};

use crate::body::Mode;
use crate::fields::Message;
use crate::headers::RequestHeaders;
use crate::key::{self, Key, Mended};
use crate::project::{self, Reading, Stated};
use crate::refusal::Refusal;
use crate::state::Current;

/// Where a key of [`Source::RequestLine`] is, for messages.
const REQUEST_LINE: &str = "the request line or a header";

/// A request and the rule that it is under.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its headers.
    pub headers: &'a RequestHeaders<'a>,
    /// The configuration under which its key is derived.
    pub current: &'a Current,
    /// The rule of its path.
    pub rule: &'a KeyRule,
    /// Whether it came by an internal listener.
    pub internal: bool,
}

/// What there is of the message of a request.
#[derive(Debug, Clone, Copy)]
pub enum Body<'m> {
    /// Not read; it can be.
    Unread,
    /// None, or none that a key could be in.
    Absent,
    /// Read.
    Read(&'m Message),
}

/// Finds the keys of document ids.
pub trait Ids {
    /// The key of the document with that id in a canonical project.
    ///
    /// # Errors
    /// When the look-up fails.
    fn find(&self, project: &str, id: &str) -> Result<Option<ShardKey>, Refusal>;
}

/// The next step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The key is known.
    Route(Derived<'a>),
    /// The message has to be read first.
    Read(Mode),
}

/// The key of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Derived<'a> {
    /// What Envoy will hash; `None`: any member will do.
    pub key: Option<Key<'a>>,
    /// Where it comes from.
    pub source: Source,
    /// What is right now and was not.
    pub mended: Mended,
    /// Whether the message names the key: then its document's id may be
    /// learned. A header alone teaches nothing, or a client could lead those
    /// of others astray.
    pub is_in_message: bool,
}

/// Where the key of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Its header.
    Header,
    /// Its message.
    Body,
    /// The id in its message.
    Learned,
    /// Its path, query or another header.
    RequestLine,
    /// Its project alone.
    Project,
    /// The rule of its path.
    Fixed,
    /// Nowhere: it has none and needs none.
    None,
}

impl<'a> Request<'a> {
    /// A request under the rules of a configuration.
    #[must_use]
    pub fn new(headers: &'a RequestHeaders<'a>, current: &'a Current, internal: bool) -> Self {
        Self {
            headers,
            current,
            rule: current.rules.find(headers.path),
            internal,
        }
    }

    /// Whether the whole message is compared with whatever else says a key.
    fn is_verified(&self) -> bool {
        let mut fields = self.rule.keys.iter().filter_map(KeySource::field);
        self.current.config.verify == Verify::Body && fields.next().is_some()
    }

    fn reading_mode(&self) -> Mode {
        if self.is_verified() {
            Mode::Whole
        } else {
            Mode::First
        }
    }

    /// Derives the key, or says that the message is needed.
    ///
    /// # Errors
    /// Why the request must not be routed.
    pub fn derive(&self, body: Body<'_>, ids: &impl Ids) -> Result<Step<'a>, Refusal> {
        self.check_caller()?;
        let Some(resource) = self.rule.resource else {
            return self.without_key(&Stated::Nothing).map(Step::Route);
        };
        match key::from_header(&self.headers.shard_keys, resource)? {
            Some(found) => self.with_header(found, resource, body, ids),
            None => self.without_header(resource, body, ids),
        }
    }

    fn check_caller(&self) -> Result<(), Refusal> {
        if !self.rule.internal || self.internal {
            return Ok(());
        }
        let Some(expected) = self.current.config.cluster_secret_sha256 else {
            return Err(Refusal::NoSecret);
        };
        let values = self.headers.values(CLUSTER_SECRET);
        let mut secrets = values.filled();
        match (secrets.next(), secrets.next()) {
            (None, _) => Err(Refusal::Outsider("missing")),
            (Some(secret), None) if Sha256Hash::new(Sha256::digest(secret).into()) == expected => {
                Ok(())
            }
            _ => Err(Refusal::Outsider("wrong")),
        }
    }

    fn with_header(
        &self,
        found: (Key<'a>, Mended),
        resource: Resource,
        body: Body<'_>,
        ids: &impl Ids,
    ) -> Result<Step<'a>, Refusal> {
        let is_open = self.rule.is_ambiguous() && found.0.halves().1.contains('.');
        if matches!(body, Body::Unread) && (is_open || self.is_verified()) {
            // What is wrong for certain is refused before anything is read.
            let stated = project::stated(self, Reading::Skipped)?;
            key::with_project(found, resource, &stated, "")?;
            return Ok(Step::Read(self.reading_mode()));
        }
        let reading = match body {
            Body::Read(message) => Reading::Read(message),
            // A project in the header is compared with that of the message only where the message is read anyway.
            Body::Unread if found.0.halves().0.is_empty() => Reading::Unread,
            Body::Unread | Body::Absent => Reading::Skipped,
        };
        let stated = project::stated(self, reading)?;
        match stated {
            Stated::Unread => return Ok(Step::Read(self.reading_mode())),
            Stated::Unknown if found.0.halves().0.is_empty() => {
                return self.without_key(&stated).map(Step::Route);
            }
            _ => {}
        }
        let default = &self.current.default_project;
        let (mut key, mut mended) = key::with_project(found, resource, &stated, default)?;
        let mut is_in_message = false;
        if let Body::Read(message) = body {
            if is_open && self.names_channel(message) {
                let (project, name) = key.halves();
                let cut = ShardKey::from_halves(project, name, Resource::Channel)
                    .map_err(|error| Refusal::malformed(key::HEADER, error))?;
                key = Key::Made(cut);
                mended.spelling = true;
            }
            is_in_message = self.compare((&key, key::HEADER), message, ids)?;
        }
        Ok(Step::Route(Derived {
            key: Some(key),
            source: Source::Header,
            mended,
            is_in_message,
        }))
    }

    fn without_header(
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
            Stated::Unknown => return self.without_key(&stated).map(Step::Route),
        };
        let found = self.look(project, resource, body, ids)?;
        let Some((key, source)) = found else {
            return self.without_key(&stated).map(Step::Route);
        };
        let key = Key::Made(key);
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
    fn look(
        &self,
        project: &str,
        resource: Resource,
        body: Body<'_>,
        ids: &impl Ids,
    ) -> Result<Option<(ShardKey, Source)>, Refusal> {
        for (index, source) in self.rule.keys.iter().enumerate() {
            if source.field().is_none() {
                let texts = self.outside(source);
                if let Some(key) = place::only(project, resource, &texts)? {
                    return Ok(Some((key, Source::RequestLine)));
                }
            } else if let Body::Read(message) = body
                && let Some(text) = message.keys(index).next()
            {
                if let Some(resource) = message::resource(source) {
                    let key = message::key(project, text, resource)?;
                    return Ok(Some((key, Source::Body)));
                }
                if let Some(key) = ids.find(project, text)? {
                    return Ok(Some((key, Source::Learned)));
                }
            }
        }
        Ok(None)
    }
}
