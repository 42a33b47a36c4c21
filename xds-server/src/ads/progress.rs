//! What one stream knows about one resource type: what the proxy asked for,
//! what it was sent, and what it is known to hold. Both protocol variants
//! share it; how a response is composed is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::ads::flight::{Flight, Flights, Group};
use crate::ads::message::ErrorDetail;
use crate::ads::refusals::Refusals;
use crate::ads::subscription::Subscription;
use crate::snapshot::{Published, ResourceType, Snapshot};

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

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether the proxy asked for the type at all.
    pub(crate) started: bool,
    /// Whether its first request showed a version, of whatever: then it has had
    /// the type before this stream.
    pub(crate) is_back: bool,
    pub(crate) subscription: Subscription,
    /// What it was last sent, accepted or not, or said that it has.
    pub(crate) sent: Versions,
    /// What it accepted, or said that it has.
    pub(crate) confirmed: Versions,
    /// Names to send even though `sent` has their version.
    pub(crate) owed: BTreeSet<Arc<str>>,
    /// Names to send again, each in a response of its own, one after the other,
    /// as it is not known which of them was refused.
    retries: BTreeSet<Arc<str>>,
    /// What it refused, of that which it was sent last.
    refusals: Refusals,
    /// Whether a response is due even if no resource is.
    pub(crate) report: bool,
    pub(crate) unanswered: Flights,
}

impl Progress {
    /// Whether a request with that nonce was written in the knowledge of all
    /// responses: it names the latest, or all have been answered before it,
    /// and a stream keeps the order.
    pub(crate) fn is_fresh(&self, nonce: &str) -> bool {
        self.unanswered.none_after(nonce)
    }

    /// Notes the answer that a request carries, if it does: `nonce` has to be
    /// that of a response which is still unanswered. It never speaks for a
    /// later one, but an ACK does for those before it: proxies answer in order,
    /// and Envoy leaves answers out while a type is paused.
    ///
    /// `version_info` is the version that the proxy says it uses, where the
    /// protocol has that. While a type is paused Envoy 1.36 to 1.40 keeps the
    /// error of a response that it refused and sends it with the nonce of the
    /// latest; the version then tells which of them it accepted.
    pub(crate) fn answer(
        &mut self,
        nonce: &str,
        version_info: Option<&str>,
        error: Option<ErrorDetail>,
    ) -> Option<Verdict> {
        let flights = self.unanswered.take_through(nonce)?;
        let version = Arc::clone(&flights.last()?.version);
        let Some(ErrorDetail { message, .. }) = error else {
            for flight in flights {
                self.confirm(flight);
            }
            return Some(Verdict::Acked { version });
        };
        let accepted = flights
            .iter()
            .rposition(|flight| version_info == Some(&*flight.version))
            .filter(|_| flights.len() > 1);
        self.refuse(flights, accepted);
        Some(Verdict::Nacked { version, message })
    }

    /// Of `flights` only the one at `accepted` is known to be good. The error is
    /// about some resource of the others, and Envoy stops at the first that it
    /// refuses, so each of them gets another chance for itself: a bad one must
    /// not keep the others away. Complete responses Envoy goes through to the
    /// end.
    fn refuse(&mut self, flights: Vec<Flight>, accepted: Option<usize>) {
        let is_accepted = |index: usize| accepted == Some(index);
        let refused = flights.iter().enumerate();
        let refused = refused.filter(|(index, _)| !is_accepted(*index));
        let sizes = refused.map(|(_, flight)| flight.size);
        let culprit_is_known = sizes.sum::<usize>() < 2;
        for (index, flight) in flights.into_iter().enumerate() {
            if is_accepted(index) {
                self.confirm(flight);
                continue;
            }
            if !culprit_is_known {
                self.doubt(&flight);
            }
            if culprit_is_known || flight.complete {
                self.note_refused(&flight);
            }
        }
    }

    fn note_refused(&mut self, flight: &Flight) {
        for (name, version) in &flight.items {
            if let Some(version) = version
                && self.sent.get(name) == Some(version)
                && self.confirmed.get(name) != Some(version)
            {
                self.refusals.note(name, version);
            }
        }
    }

    fn doubt(&mut self, flight: &Flight) {
        for (name, version) in &flight.items {
            if self.confirmed.get(name) != version.as_ref() {
                self.confirmed.remove(name);
            }
            let is_current = self.sent.get(name) == version.as_ref();
            if !flight.complete && version.is_some() && is_current {
                self.retries.insert(Arc::clone(name));
            }
        }
    }

    /// How long what it refused rests; `None` when there is nothing of that.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.refusals.pause()
    }

    /// Whether it refused that very resource.
    pub(crate) fn has_refused(&self, resource: &Published) -> bool {
        self.refusals.has(resource.name(), resource.version())
    }

    /// Puts what it refused up to be sent again, each for itself or, where
    /// responses are `complete`, all at once. Not while an answer is still to
    /// come, which may change that.
    pub(crate) fn try_again(&mut self, complete: bool) {
        if self.unanswered.is_empty() {
            let names = self.refusals.again();
            if complete {
                self.report = true;
            } else {
                self.retries.extend(names);
            }
        }
    }

    /// Whether there is something that it refused, or may have.
    pub(crate) fn is_refusing(&self) -> bool {
        self.pause().is_some() || !self.retries.is_empty() || self.unanswered.has_retry()
    }

    fn confirm(&mut self, flight: Flight) {
        if flight.complete {
            let names: BTreeSet<_> = flight.items.iter().map(|(name, _)| name).collect();
            self.confirmed.retain(|name, _| names.contains(name));
        }
        for (name, item) in flight.items {
            match item {
                Some(version) if self.subscription.wants(&name) => {
                    self.refusals.retain(|refused, _| *refused != name);
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

    /// What is [`due`](Self::due), split into responses.
    pub(crate) fn due_in_groups(
        &mut self,
        resources: &BTreeMap<Arc<str>, Published>,
    ) -> Vec<Group> {
        let due = Group {
            resources: self.due(resources).cloned().collect(),
            retry: false,
        };
        for resource in &due.resources {
            self.retries.remove(resource.name());
        }
        let due = (!due.resources.is_empty()).then_some(due);
        due.into_iter().chain(self.retry(resources)).collect()
    }

    /// The next of the retries, unless the answer to another is still to come.
    fn retry(&mut self, resources: &BTreeMap<Arc<str>, Published>) -> Option<Group> {
        if self.unanswered.has_retry() {
            return None;
        }
        loop {
            let name = self.retries.pop_first()?;
            if let Some(resource) = self.subscription.find(resources, &name) {
                return Some(Group {
                    resources: vec![resource.clone()],
                    retry: true,
                });
            }
        }
    }

    /// Tells whether the proxy surely has a resource in just that version: it
    /// accepted it, and nothing else of the name is on its way.
    pub(crate) fn holds(&self) -> impl Fn(&Published) -> bool {
        let on_the_way = self.unanswered.names();
        move |resource| {
            let name = resource.name();
            self.confirmed.get(name) == Some(resource.version()) && !on_the_way.contains(name)
        }
    }

    /// Names that it was sent and that do not exist any more, or not for it.
    pub(crate) fn gone(&self, resources: &BTreeMap<Arc<str>, Published>) -> Vec<Arc<str>> {
        let gone = |name: &&Arc<str>| self.subscription.find(resources, name).is_none();
        self.sent.keys().filter(gone).cloned().collect()
    }

    /// Notes that a group goes out under `nonce`.
    pub(crate) fn send(&mut self, nonce: String, version: Arc<str>, complete: bool, group: &Group) {
        let mut items = Vec::with_capacity(group.resources.len());
        for resource in &group.resources {
            let (name, version) = (resource.name(), resource.version());
            self.sent.insert(Arc::clone(name), Arc::clone(version));
            items.push((Arc::clone(name), Some(Arc::clone(version))));
        }
        self.unanswered.push(Flight {
            nonce,
            version,
            complete,
            size: items.len(),
            retry: group.retry,
            items,
        });
    }

    /// Forgets what is no longer wanted; `true` if the proxy was ever sent any
    /// of it.
    pub(crate) fn forget_unwanted(&mut self) -> bool {
        let before = self.sent.len();
        let wants = |name: &Arc<str>| self.subscription.wants(name);
        self.sent.retain(|name, _| wants(name));
        self.confirmed.retain(|name, _| wants(name));
        self.unanswered.retain(wants);
        self.sent.len() != before
    }

    /// The proxy asked for `name`: it may have forgotten what it was sent of it,
    /// even if it accepts that only now.
    pub(crate) fn owe(&mut self, name: Arc<str>) {
        self.confirmed.remove(&name);
        self.unanswered.retain(|item| *item != name);
        self.owed.insert(name);
    }

    /// The proxy asked for everything: the like for all that it was sent.
    pub(crate) fn owe_all(&mut self) {
        self.confirmed.clear();
        self.unanswered.retain(|_| false);
        self.owed.extend(self.sent.keys().cloned());
    }

    /// Ends a pass over `snapshot`: what was owed is paid, except where the
    /// proxy has yet to ask for it.
    pub(crate) fn settle(&mut self, kind: ResourceType, snapshot: &Snapshot) {
        let subscription = &self.subscription;
        self.owed
            .retain(|name| !subscription.wants(name) && snapshot.is_dependent(kind, name));
        self.report = false;
        let sent = &self.sent;
        self.refusals
            .retain(|name, version| sent.get(name) == Some(version));
    }
}
