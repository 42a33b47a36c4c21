//! What happens to a request, from its headers to the end of its response.

mod learning;
mod noting;
mod reading;
mod refusing;

use std::rc::Rc;
use std::time::Duration;

use sharding::{SHARD_EPOCH, SHARD_KEY, SHARD_OWNER, ShardKey};

use crate::derive::{Body, Derived, Ids, Request, Step};
use crate::drain::Routed;
use crate::fields::Message;
use crate::headers::RequestHeaders;
use crate::host::{Host, HostError};
use crate::key::Key;
use crate::learned;
use crate::metrics::Counter;
use crate::refusal::Refusal;
use crate::request::{Annotations, Change};
use crate::rpc::Protocol;
use crate::state::{Current, Vm};

use learning::Learning;
use reading::{Read, Reading};

pub use refusing::refuse_overdue;

/// One request.
#[derive(Debug)]
pub struct Stream {
    /// Its context.
    id: u32,
    /// Its root context.
    root: u32,
    /// Whether it came by an internal listener.
    internal: bool,
    phase: Phase,
    /// Bytes of its message that were read.
    inspected: usize,
    /// Whether it may have to end when its key gets another owner.
    is_followed: bool,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is left to do.
    Passing,
    /// It waits until the key is found in its message.
    Reading(Box<Reading>),
    /// Its response will name the id of its document.
    Learning(Box<Learning>),
    /// It was refused.
    Answered,
}

/// What becomes of a request for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It waits for more of its body.
    Wait,
    /// It was answered.
    Answered,
}

impl Stream {
    /// A request before its headers, in context `id` below `root`.
    #[must_use]
    pub fn new(id: u32, root: u32, internal: bool) -> Self {
        Self {
            id,
            root,
            internal,
            phase: Phase::Passing,
            inspected: 0,
            is_followed: false,
        }
    }

    /// Its headers came; `is_all`: it has no body.
    pub fn request_headers(&mut self, vm: &Vm, host: &impl Host, is_all: bool) -> Flow {
        vm.wake(host, self.root);
        let decided = vm.current().ok_or(Refusal::Unconfigured);
        self.with_headers(vm, host, |stream, headers| {
            let current = decided?;
            let request = Request::new(headers, &current, stream.internal);
            let ids = Known { vm, host };
            match request.derive(Body::Unread, &ids)? {
                Step::Route(derived) => stream.carry_out(vm, host, &request, &derived, &current),
                Step::Read(mode) => match Reading::start(vm, &request, mode, is_all)? {
                    Read::Later(mut reading) => {
                        reading.current = Some(Rc::clone(&current));
                        let limit = Duration::from_millis(current.config.body_timeout_ms.into());
                        vm.waiting.add(stream.id, Protocol::of(headers), limit);
                        stream.phase = Phase::Reading(reading);
                        Ok(Flow::Wait)
                    }
                    Read::Now(message, inspected) => {
                        stream.inspected = inspected;
                        let body = message.as_ref().map_or(Body::Absent, Body::Read);
                        stream.route(vm, host, &request, body, &current)
                    }
                },
            }
        })
    }

    /// More of its body came. `size`: of what Envoy holds back, which is all so
    /// far while the request waits.
    pub fn request_body(&mut self, vm: &Vm, host: &impl Host, size: usize, is_end: bool) -> Flow {
        match &mut self.phase {
            Phase::Passing | Phase::Learning(_) => Flow::Continue,
            Phase::Answered => Flow::Answered,
            Phase::Reading(_) if !vm.waiting.contains(self.id) => self.answered(),
            Phase::Reading(reading) => {
                let progress = reading.advance(vm, host, size, is_end);
                self.proceed(vm, host, progress)
            }
        }
    }

    /// Its trailers came, so its body is complete.
    pub fn request_trailers(&mut self, vm: &Vm, host: &impl Host) -> Flow {
        match &mut self.phase {
            Phase::Passing | Phase::Learning(_) => Flow::Continue,
            Phase::Answered => Flow::Answered,
            Phase::Reading(_) if !vm.waiting.contains(self.id) => self.answered(),
            Phase::Reading(reading) => {
                let progress = reading.end(vm);
                self.proceed(vm, host, progress)
            }
        }
    }

    /// The `count` headers of its response came; `is_all`: there is no body.
    pub fn response_headers(&mut self, vm: &Vm, host: &impl Host, count: usize, is_all: bool) {
        if self.is_followed {
            vm.answered(self.id, host, count);
        }
        if let Phase::Learning(learning) = &mut self.phase
            && (is_all || !learning.headers(vm, host))
        {
            self.phase = Phase::Passing;
        }
    }

    /// `size` bytes of its response's body pass by.
    pub fn response_body(&mut self, vm: &Vm, host: &impl Host, size: usize, is_end: bool) {
        if let Phase::Learning(learning) = &mut self.phase
            && !learning.body(vm, host, size, is_end)
        {
            self.phase = Phase::Passing;
        }
    }

    fn proceed(
        &mut self,
        vm: &Vm,
        host: &impl Host,
        progress: Result<Option<Message>, Refusal>,
    ) -> Flow {
        if let Ok(None) = progress {
            return Flow::Wait;
        }
        let Phase::Reading(reading) = std::mem::replace(&mut self.phase, Phase::Passing) else {
            return Flow::Continue;
        };
        vm.waiting.remove(self.id);
        self.inspected = reading.seen;
        self.with_headers(vm, host, |stream, headers| {
            let message = progress?;
            let started = reading.current.ok_or(Refusal::Unconfigured)?;
            // The rules of its beginning, but the owner of now: that is where Envoy will send it.
            let current = vm.current().ok_or(Refusal::Unconfigured)?;
            let request = Request::new(headers, &started, stream.internal);
            let body = message.as_ref().map_or(Body::Absent, Body::Read);
            stream.route(vm, host, &request, body, &current)
        })
    }

    /// Routes a request that waits for nothing more.
    fn route<H: Host>(
        &mut self,
        vm: &Vm,
        host: &H,
        request: &Request<'_>,
        body: Body<'_>,
        current: &Current,
    ) -> Result<Flow, Refusal> {
        match request.derive(body, &Known { vm, host })? {
            Step::Route(derived) => self.carry_out(vm, host, request, &derived, current),
            // It asks for the message once only.
            Step::Read(_) => Err(Refusal::NoKey),
        }
    }

    fn carry_out(
        &mut self,
        vm: &Vm,
        host: &impl Host,
        request: &Request<'_>,
        derived: &Derived<'_>,
        current: &Current,
    ) -> Result<Flow, Refusal> {
        let annotations = Annotations::of(derived, request.headers, current);
        // Every write makes Envoy forget the route it had chosen; it looks again once, after the filters.
        let key = derived.key.as_ref().map(Key::as_str);
        change(host, SHARD_KEY, annotations.shard_key, key)?;
        change(host, SHARD_EPOCH, Change::Set, Some(&current.epoch))?;
        let owner = annotations.owned_by;
        let owner_id = owner.map(|owner| owner.member.id.as_str());
        change(host, SHARD_OWNER, annotations.owner, owner_id)?;
        noting::routed(vm, host, derived, self.inspected);
        if let Some(owner) = owner {
            self.is_followed = true;
            vm.routed(self.id, Routed::of(request, owner.hash));
        }
        if let Some(learning) = Learning::of(request, derived) {
            self.phase = Phase::Learning(Box::new(learning));
        }
        Ok(Flow::Continue)
    }

    fn with_headers<H: Host>(
        &mut self,
        vm: &Vm,
        host: &H,
        act: impl FnOnce(&mut Self, &RequestHeaders<'_>) -> Result<Flow, Refusal>,
    ) -> Flow {
        let read = host.request_headers();
        let headers = match &read {
            Ok(bytes) => RequestHeaders::read(bytes),
            Err(error) => Err(*error),
        };
        let acted = match headers {
            Ok(headers) => act(self, &headers).map_err(|refusal| (Protocol::of(&headers), refusal)),
            Err(error) => Err((Protocol::Http, error.into())),
        };
        acted.unwrap_or_else(|(protocol, refusal)| {
            noting::refused(vm, host, self.inspected);
            refusing::refuse(vm, host, protocol, &refusal);
            self.answered()
        })
    }

    fn answered(&mut self) -> Flow {
        self.phase = Phase::Answered;
        Flow::Answered
    }

    /// It is gone, whatever has become of it.
    pub fn end(&mut self, vm: &Vm) {
        if matches!(self.phase, Phase::Reading(_)) {
            vm.waiting.remove(self.id);
        }
        if self.is_followed {
            vm.ended(self.id);
        }
    }
}

fn change(
    host: &impl Host,
    name: &str,
    change: Change,
    value: Option<&str>,
) -> Result<(), HostError> {
    match (change, value) {
        (Change::Set, Some(value)) => host.set_request_header(name, value),
        (Change::Set, None) | (Change::Remove, _) => host.remove_request_header(name),
        (Change::Keep, _) => Ok(()),
    }
}

/// The ids that the proxy has learned.
struct Known<'a, H> {
    vm: &'a Vm,
    host: &'a H,
}

impl<H: Host> Ids for Known<'_, H> {
    fn find(&self, project: &str, id: &str) -> Result<Option<ShardKey>, Refusal> {
        let found = learned::find(self.host, project, id)?;
        if found.is_none() {
            self.vm.metrics.add(Counter::IdsUnknown, 1);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
