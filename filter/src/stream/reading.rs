//! The part of a request during which its message is read.

use std::rc::Rc;

use crate::body::{BodyError, Mode, Progress, Reader};
use crate::derive::Request;
use crate::fields::{Fields, Message};
use crate::host::Host;
use crate::metrics::Counter;
use crate::refusal::Refusal;
use crate::rpc::{Protocol, query, shape};
use crate::state::{Current, Vm};

/// A message that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    /// The configuration under which it began.
    pub(super) current: Option<Rc<Current>>,
    reader: Reader,
    fields: Fields,
    mode: Mode,
    /// Bytes of the body that the reader has seen.
    pub(super) seen: usize,
    limit: usize,
}

/// When there is a message.
pub(super) enum Read {
    /// When it has arrived.
    Later(Box<Reading>),
    /// It is here, read up to so many bytes, or there is none.
    Now(Option<Message>, usize),
}

impl Reading {
    /// Begins with the headers of a request; `is_all`: it has no body.
    pub(super) fn start(
        vm: &Vm,
        request: &Request<'_>,
        mode: Mode,
        is_all: bool,
    ) -> Result<Read, Refusal> {
        let limit = request.current.config.max_body as usize;
        let reading = |shape| {
            let fields = Fields::of(request.rule)?;
            Ok::<_, Refusal>(Self {
                current: None,
                reader: Reader::new(shape, Rc::clone(&fields.search), mode, limit),
                fields,
                mode,
                seen: 0,
                limit,
            })
        };
        let protocol = Protocol::of(request.headers);
        if request.headers.method == b"GET" && protocol == Protocol::ConnectUnary {
            let (shape, message) = query::message(request.headers.path)?;
            let mut reading = reading(shape)?;
            let message = reading.take(vm, &message, true)?;
            return Ok(Read::Now(message, reading.seen));
        }
        if is_all {
            return Ok(Read::Now(None, 0));
        }
        match shape::of_request(request.headers) {
            Some(shape) => Ok(Read::Later(Box::new(reading(shape)?))),
            // Nothing gets past the comparison by calling itself something else.
            None if mode == Mode::Whole && !request.headers.shard_keys.is_empty() => {
                Err(Refusal::UnknownType)
            }
            None => Ok(Read::Now(None, 0)),
        }
    }

    /// Reads what is new of the `size` bytes that have gathered. Returns the
    /// message once enough of it is known.
    pub(super) fn advance(
        &mut self,
        vm: &Vm,
        host: &impl Host,
        size: usize,
        is_end: bool,
    ) -> Result<Option<Message>, Refusal> {
        // One byte beyond the limit is enough to see that there is more.
        let fresh = size.saturating_sub(self.seen);
        let wanted = fresh.min(self.limit.saturating_sub(self.seen).saturating_add(1));
        let bytes = if wanted == 0 {
            Vec::new()
        } else {
            host.request_body(self.seen, wanted)?
        };
        self.take(vm, &bytes, is_end)
    }

    /// Ends the body.
    pub(super) fn end(&mut self, vm: &Vm) -> Result<Option<Message>, Refusal> {
        self.take(vm, &[], true)
    }

    fn take(&mut self, vm: &Vm, bytes: &[u8], is_end: bool) -> Result<Option<Message>, Refusal> {
        self.seen = self.seen.saturating_add(bytes.len());
        vm.metrics.add(Counter::BodyBytes, bytes.len() as u64);
        match self.reader.feed(bytes, is_end) {
            Progress::More => Ok(None),
            Progress::Done(found) => Ok(Some(self.fields.clone().message(found, self.mode))),
            Progress::Failed(error) => {
                if !matches!(error, BodyError::TooLarge { .. }) {
                    vm.metrics.add(Counter::BodiesFailed, 1);
                }
                Err(error.into())
            }
        }
    }
}
