//! The rule's answer for a request without a key.

use sharding::{NoKey, ShardKey};

use super::{Derived, Request, Source};
use crate::key::{Key, Mended};
use crate::project::{self, Reading, Stated};
use crate::refusal::Refusal;

impl<'a> Request<'a> {
    /// `unknown`: the id of a document, in place of a key, that was never
    /// learned.
    pub(super) fn without_key(
        &self,
        stated: &Stated<'_>,
        unknown: Option<&str>,
    ) -> Result<Derived<'a>, Refusal> {
        let (key, source) = match &self.rule.no_key {
            NoKey::Fixed(text) => (Some(Key::AsIs(text)), Source::Fixed),
            NoKey::Any => (None, Source::None),
            // A browser asks before it sends the request with the key, and any server gives the same answer.
            NoKey::Reject | NoKey::Project if self.is_cors_preflight() => (None, Source::None),
            NoKey::Project => (Some(Key::Made(self.project_key(stated)?)), Source::Project),
            NoKey::Reject if self.rule.resource.is_none() => return Err(Refusal::Closed),
            NoKey::Reject if self.rule.keys.is_empty() => return Err(Refusal::NoKey),
            NoKey::Reject => {
                return Err(unknown.map_or(Refusal::NoKeyFound, Refusal::unknown_id));
            }
        };
        Ok(Derived {
            key,
            source,
            mended: Mended::default(),
            is_in_message: false,
        })
    }

    fn project_key(&self, stated: &Stated<'_>) -> Result<ShardKey, Refusal> {
        // Rules without a resource have not been asked yet.
        let stated = match (stated, self.rule.resource) {
            (Stated::Nothing, None) => &project::stated(self, Reading::Skipped)?,
            (stated, _) => stated,
        };
        let project = match stated {
            Stated::Named(project, _) => project.as_ref(),
            Stated::Nothing => self.current.default_project.as_str(),
            Stated::Unknown | Stated::Unread => "",
        };
        ShardKey::of_project(project).map_err(|_| Refusal::NoProject)
    }

    fn is_cors_preflight(&self) -> bool {
        self.headers.method == b"OPTIONS" && self.headers.has_cors_method
    }
}
