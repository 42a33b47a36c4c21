//! Where the open requests are.

use crate::host::{Host, HostError};
use crate::metrics::{Counter, Metrics};

use super::open::Place;
use super::reach::{MOST_HEADERS, failing};
use super::survey::Survey;
use super::upstream::{Went, went};
use super::{Drain, Seen};

/// Most requests that are asked in one call of the VM where they are.
const MOST_ASKED: usize = 256;

impl Drain {
    /// The `count` headers of the response came for the current request, of
    /// context `id`. Streams are asked where they are, and a unary call now and then, as
    /// a sample.
    ///
    /// # Errors
    /// When the host does not say where it is.
    pub fn answered(
        &mut self,
        id: u32,
        count: usize,
        host: &impl Host,
        metrics: &Metrics,
    ) -> Result<(), HostError> {
        if count <= MOST_HEADERS || !self.reach.is_well() {
            self.note_reach(id, host)?;
        }
        let Some(stream) = self.open.answered(id) else {
            return Ok(());
        };
        let is_current = stream.generation == self.generation;
        let is_stream = stream.is_stream;
        if !is_stream {
            // After a stop all of them are.
            if !is_current || !(self.wants_call || self.trust.has_stopped()) {
                return Ok(());
            }
            self.wants_call = false;
        }
        match self.ask(id, host)? {
            Some(Place::Contradicts) => {
                metrics.add(Counter::PredictionMismatches, 1);
                self.believe(is_stream, false);
            }
            Some(Place::Right) if is_current => self.believe(is_stream, true),
            _ => {}
        }
        Ok(())
    }

    /// Takes note of whether a request of this assignment reached its member.
    fn note_reach(&mut self, id: u32, host: &impl Host) -> Result<(), HostError> {
        let stream = self.open.get(id);
        let Some(stream) = stream.filter(|stream| stream.generation == self.generation) else {
            return Ok(());
        };
        let owner = self
            .assignment()
            .and_then(|(_, assignment)| assignment.owner_of_hash(stream.hash));
        let Some(address) = owner.map(|owner| owner.member.address) else {
            return Ok(());
        };
        match failing(host)? {
            Some(failing) => self.reach.failed(address, failing, self.now),
            None => self.reach.answered(address),
        }
        Ok(())
    }

    fn believe(&mut self, is_stream: bool, is_right: bool) {
        if is_stream {
            self.trust.stream(is_right, self.now);
        } else {
            self.trust.call(is_right, self.now);
        }
    }

    /// Asks where the current request is, of context `id`. One that is in
    /// another cluster is forgotten.
    fn ask(&mut self, id: u32, host: &impl Host) -> Result<Option<Place>, HostError> {
        let Some((current, _)) = self.assignment() else {
            return Ok(None);
        };
        let address = match went(host, &current.config.cluster)? {
            Went::To(address) => address,
            Went::Nowhere => return Ok(None),
            Went::Elsewhere => {
                self.open.remove(id);
                return Ok(None);
            }
        };
        self.open.found(id, address);
        Ok(self.place(id))
    }

    /// Looks at all of them; in a callback of the context `root`.
    pub(super) fn look(&mut self, host: &impl Host, root: u32, metrics: &Metrics) {
        self.ask_those_that_wait(host, root, metrics);
        self.looked = self.now;
        self.wants_call = true;
        let Some((_, assignment)) = self.assignment() else {
            self.queue.clear();
            self.seen = Seen::default();
            return;
        };
        let times = (self.now, self.grace());
        let survey = Survey::of(&self.open, assignment, self.generation, times);
        self.reach.look(&survey.silent, self.now);
        let contradicts = survey.contradicting > 0;
        self.trust.all(survey.right, contradicts, self.now);
        match &self.release {
            Some(release) => self.queue.fill(release, survey.misplaced.iter().copied()),
            None => self.queue.clear(),
        }
        self.seen = Seen {
            open: survey.open,
            // Those that may be are no reason to call it settled.
            misplaced: survey.misplaced.len() as u64 + survey.unplaced,
            contradicting: survey.contradicting,
            at: survey.at,
        };
    }

    /// Asks requests of an earlier assignment that were not answered yet where
    /// they wait.
    fn ask_those_that_wait(&mut self, host: &impl Host, root: u32, metrics: &Metrics) {
        let times = (self.now, self.grace());
        let open = &self.open;
        let after = self.asked.unwrap_or(0);
        let asked = open.to_ask(after, MOST_ASKED, self.generation, times);
        // Those that are nowhere yet wait for the next slow tick.
        let is_full = asked.len() == MOST_ASKED;
        self.asked = asked.last().copied().filter(|_| is_full);
        for id in asked {
            let place = host.within(id, root, || self.ask(id, host));
            if place.and_then(|place| place).is_err() {
                metrics.add(Counter::HostErrors, 1);
            }
        }
    }
}
