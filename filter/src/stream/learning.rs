//! The part of a request during which its response is watched for the id of
//! its document. The response is never held back.

use std::rc::Rc;

use sharding::{Resource, ShardKey};

use crate::body::{Mode, Progress, Reader, Search};
use crate::derive::{Derived, Request};
use crate::host::Host;
use crate::learned;
use crate::metrics::Counter;
use crate::rpc::shape;
use crate::state::Vm;

/// A response that will name an id.
#[derive(Debug)]
pub(super) struct Learning {
    /// The key of the document.
    key: ShardKey,
    search: Rc<Search>,
    limit: usize,
    /// Absent before the headers of the response.
    reader: Option<Reader>,
}

impl Learning {
    /// Waits for the id of the document that such a request is about, if its
    /// response names it and its key.
    pub(super) fn of(request: &Request<'_>, derived: &Derived<'_>) -> Option<Self> {
        let learn = request.rule.learn.as_ref()?;
        let key = derived.key.as_ref().filter(|_| derived.is_in_message)?;
        let (project, name) = key.halves();
        Some(Self {
            key: ShardKey::from_halves(project, name, Resource::Document).ok()?,
            search: Rc::new(
                Search::new(&[
                    std::slice::from_ref(&learn.id),
                    std::slice::from_ref(&learn.key),
                ])
                .ok()?,
            ),
            limit: request.current.config.max_body as usize,
            reader: None,
        })
    }

    /// Whether the server means the document that the request was routed by.
    fn is_named(&self, name: &str) -> bool {
        let named = ShardKey::from_halves(self.key.project(), name, Resource::Document);
        named.is_ok_and(|named| named == self.key)
    }

    /// Returns whether the response can name it.
    pub(super) fn headers(&mut self, vm: &Vm, host: &impl Host) -> bool {
        let headers = host.response_headers();
        let shape = headers.as_deref().ok().and_then(shape::of_response);
        vm.note(headers.map(|_| ()));
        let search = &self.search;
        self.reader =
            shape.map(|shape| Reader::new(shape, Rc::clone(search), Mode::First, self.limit));
        self.reader.is_some()
    }

    /// Returns whether it may still come.
    pub(super) fn body(&mut self, vm: &Vm, host: &impl Host, size: usize, is_end: bool) -> bool {
        let Some(reader) = &mut self.reader else {
            return false;
        };
        let bytes = match host.response_body(size) {
            Ok(bytes) => bytes,
            Err(error) => {
                vm.note(Err(error));
                return false;
            }
        };
        vm.metrics.add(Counter::BodyBytes, bytes.len() as u64);
        match reader.feed(&bytes, is_end) {
            Progress::More => !is_end,
            Progress::Failed(_) => {
                vm.metrics.add(Counter::BodiesFailed, 1);
                false
            }
            Progress::Done(found) => {
                let (id, name) = (found.path(0).next(), found.path(1).next());
                if let (Some(id), Some(name)) = (id, name)
                    && self.is_named(name)
                {
                    match learned::learn(host, &self.key, id) {
                        Ok(true) => vm.metrics.add(Counter::IdsLearned, 1),
                        Ok(false) => {}
                        Err(error) => vm.note(Err(error)),
                    }
                }
                false
            }
        }
    }
}
