//! What one stream knows about one resource type: what the proxy asked for,
//! what it was sent, and what it is known to hold. Both protocol variants
//! share it; how a response is composed is theirs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::ads::message::ErrorDetail;
use crate::ads::subscription::Subscription;
use crate::snapshot::{Published, ResourceType, Snapshot};

/// Responses that a proxy may leave unanswered before the oldest are counted
/// as one. Nothing is lost by it: an answer also speaks for those before it.
const MAX_UNANSWERED: usize = 64;

/// Resource versions by name.
pub type Versions = BTreeMap<Arc<str>, Arc<str>>;

/// What a proxy says of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It accepted all of it.
    Acked {
        /// Version of the response.
        version: Arc<str>,
    },
    /// It refused at least a part of it and keeps what it had.
    Nacked {
        /// Version of the response.
        version: Arc<str>,
        /// Its reason.
        message: String,
    },
}

/// A response on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) nonce: String,
    pub(crate) version: Arc<str>,
    /// Whether what is not in it does not exist.
    pub(crate) complete: bool,
    /// What it sets (`Some` version) and what it removes.
    pub(crate) items: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether the proxy asked for the type at all.
    pub(crate) started: bool,
    pub(crate) subscription: Subscription,
    /// What it was last sent, accepted or not, or said that it has.
    pub(crate) sent: Versions,
    /// What it accepted, or said that it has.
    pub(crate) confirmed: Versions,
    /// What it refused, unless it was sent something else of the name since.
    pub(crate) rejected: Versions,
    /// Names to send even though `sent` has their version.
    pub(crate) owed: BTreeSet<Arc<str>>,
    /// Whether a response is due even if no resource is.
    pub(crate) report: bool,
    unanswered: VecDeque<Flight>,
}

impl Progress {
    /// Whether a request with that nonce was written in the knowledge of all
    /// responses: it names the latest, or all have been answered before it,
    /// and a stream keeps the order.
    pub(crate) fn is_fresh(&self, nonce: &str) -> bool {
        self.unanswered
            .back()
            .is_none_or(|latest| latest.nonce == nonce)
    }

    /// Notes the answer that a request carries, if it does: `nonce` has to be
    /// that of a response which is still unanswered. It never speaks for a
    /// later one, but it does for those before it: proxies answer in order, and
    /// Envoy leaves answers out while a type is paused.
    pub(crate) fn answer(&mut self, nonce: &str, error: Option<ErrorDetail>) -> Option<Verdict> {
        let index = self
            .unanswered
            .iter()
            .position(|flight| flight.nonce == nonce)?;
        let mut flights: Vec<Flight> = self.unanswered.drain(..=index).collect();
        let answered = flights.pop()?;
        for flight in flights {
            self.confirm(flight);
        }
        let version = Arc::clone(&answered.version);
        let Some(ErrorDetail { message, .. }) = error else {
            self.confirm(answered);
            return Some(Verdict::Acked { version });
        };
        for (name, item) in answered.items {
            if let Some(version) = item
                && self.sent.get(&name) == Some(&version)
            {
                self.rejected.insert(name, version);
            }
        }
        Some(Verdict::Nacked { version, message })
    }

    fn confirm(&mut self, flight: Flight) {
        if flight.complete {
            let names: BTreeSet<_> = flight.items.iter().map(|(name, _)| name).collect();
            self.confirmed.retain(|name, _| names.contains(name));
        }
        for (name, item) in flight.items {
            match item {
                Some(version) if self.subscription.wants(&name) => {
                    self.confirmed.insert(name, version);
                }
                _ => {
                    self.confirmed.remove(&name);
                }
            }
        }
    }

    /// The proxy has these from an earlier stream.
    pub(crate) fn adopt(&mut self, name: &Arc<str>, version: &Arc<str>) {
        self.sent.insert(Arc::clone(name), Arc::clone(version));
        self.confirmed.insert(Arc::clone(name), Arc::clone(version));
    }

    /// The wanted resources whose version the proxy was not sent, or is owed
    /// again.
    pub(crate) fn due<'a>(
        &'a self,
        resources: &'a BTreeMap<Arc<str>, Published>,
    ) -> impl Iterator<Item = &'a Published> {
        self.subscription.wanted(resources).filter(|resource| {
            self.sent.get(resource.name()) != Some(resource.version())
                || self.owed.contains(resource.name())
        })
    }

    /// Names that it was sent and that do not exist any more.
    pub(crate) fn gone(&self, resources: &BTreeMap<Arc<str>, Published>) -> Vec<Arc<str>> {
        let gone = |name: &&Arc<str>| !resources.contains_key(*name);
        self.sent.keys().filter(gone).cloned().collect()
    }

    /// Notes that `resources` go out under `nonce`.
    pub(crate) fn send<'a>(
        &mut self,
        nonce: String,
        version: Arc<str>,
        complete: bool,
        resources: impl Iterator<Item = &'a Published>,
    ) {
        let mut items = Vec::new();
        for resource in resources {
            let (name, version) = (resource.name(), resource.version());
            let before = self.sent.insert(Arc::clone(name), Arc::clone(version));
            if before.as_ref() != Some(version) {
                self.rejected.remove(name);
            }
            items.push((Arc::clone(name), Some(Arc::clone(version))));
        }
        self.depart(Flight {
            nonce,
            version,
            complete,
            items,
        });
    }

    /// Notes a response as on its way.
    pub(crate) fn depart(&mut self, flight: Flight) {
        self.unanswered.push_back(flight);
        if self.unanswered.len() > MAX_UNANSWERED
            && let Some(oldest) = self.unanswered.pop_front()
            && let Some(next) = self.unanswered.front_mut()
            && !next.complete
        {
            let later: BTreeSet<_> = next.items.iter().map(|(name, _)| name.clone()).collect();
            let earlier = oldest.items.into_iter();
            next.items
                .extend(earlier.filter(|(name, _)| !later.contains(name)));
            next.complete = oldest.complete;
        }
    }

    /// Forgets what is no longer wanted; `true` if the proxy was ever sent any
    /// of it.
    pub(crate) fn forget_unwanted(&mut self) -> bool {
        let before = self.sent.len();
        let wants = |name: &Arc<str>| self.subscription.wants(name);
        self.sent.retain(|name, _| wants(name));
        self.confirmed.retain(|name, _| wants(name));
        self.rejected.retain(|name, _| wants(name));
        self.sent.len() != before
    }

    /// Forgets a resource that does not exist any more.
    pub(crate) fn forget(&mut self, name: &str) {
        self.sent.remove(name);
        self.rejected.remove(name);
    }

    /// Ends a pass over `snapshot`: what was owed is paid, except where the
    /// proxy has yet to ask for it.
    pub(crate) fn settle(&mut self, kind: ResourceType, snapshot: &Snapshot) {
        let resources = snapshot.of(kind);
        let waits =
            |name: &Arc<str>| !self.subscription.wants(name) && resources.contains_key(name);
        self.owed.retain(waits);
        self.report = false;
    }
}

#[cfg(test)]
mod tests;
