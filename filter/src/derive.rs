//! Which key a request has: from its header, else from where its rule says
//! that it is, else the rule's answer. Pure but for the look-up of learned ids.

mod answer;
mod elsewhere;
mod header;
mod message;
mod place;

use sha2::{Digest, Sha256};
use sharding::{CLUSTER_SECRET, KeyRule, Kind, Sha256Hash, ShardKey, Verify};

use crate::body::Mode;
use crate::fields::Message;
use crate::headers::RequestHeaders;
use crate::key::{self, Key, Mended};
use crate::project::Stated;
use crate::refusal::Refusal;
use crate::state::Current;

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

    /// Whether it stays open until somebody ends it.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.rule.kind == Kind::ServerStream || self.headers.is_upgrade
    }

    /// Whether the whole message is compared with whatever else says a key or a
    /// project.
    fn is_verified(&self) -> bool {
        self.current.config.verify == Verify::Body && self.rule.fields().next().is_some()
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
            return self.without_key(&Stated::Nothing, None).map(Step::Route);
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
}
