//! A host that remembers what it was asked, and does to the headers what
//! Envoy does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::headers::serialize;
use crate::host::{Host, HostError, LogLevel};
use crate::rpc::Reply;

#[derive(Debug, Default)]
pub(crate) struct MockHost {
    headers: RefCell<Vec<(String, Vec<u8>)>>,
    configuration: RefCell<Vec<u8>>,
    filter_state: RefCell<BTreeMap<String, String>>,
    /// What of the request's body waits.
    body: RefCell<Vec<u8>>,
    response_headers: RefCell<Vec<(String, Vec<u8>)>>,
    response_body: RefCell<Vec<u8>>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    /// Writes to shared data that somebody else's comes before.
    disturbed: Cell<usize>,
    /// With the context that each was made in; `None`: that of the callback.
    replies: RefCell<Vec<(Option<u32>, Reply)>>,
    now: Cell<Duration>,
    entered: Cell<Option<u32>>,
    gone: RefCell<BTreeSet<u32>>,
    counters: RefCell<Vec<(String, u64)>>,
    tick_periods: RefCell<Vec<Duration>>,
    logs: RefCell<Vec<(LogLevel, String)>>,
    calls: Cell<usize>,
    failure: Cell<Option<HostError>>,
}

impl MockHost {
    /// The next request.
    pub(crate) fn request<V: AsRef<[u8]>>(&self, headers: &[(&str, V)]) {
        let headers = headers.iter();
        self.headers.replace(
            headers
                .map(|(name, value)| ((*name).to_owned(), value.as_ref().to_vec()))
                .collect(),
        );
        self.filter_state.borrow_mut().clear();
        self.body.borrow_mut().clear();
        self.replies.borrow_mut().clear();
        self.calls.set(0);
    }

    /// More of the request's body; returns the size of what waits.
    pub(crate) fn body(&self, bytes: &[u8]) -> usize {
        let mut body = self.body.borrow_mut();
        body.extend(bytes);
        body.len()
    }

    /// The headers of the response.
    pub(crate) fn response(&self, headers: &[(&str, &str)]) {
        let headers = headers.iter();
        self.response_headers.replace(
            headers
                .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
                .collect(),
        );
    }

    /// The next piece of the response's body.
    pub(crate) fn response_piece(&self, bytes: &[u8]) {
        self.response_body.replace(bytes.to_vec());
    }

    pub(crate) fn disturb_next_writes(&self, writes: usize) {
        self.disturbed.set(writes);
    }

    pub(crate) fn configuration(&self, json: &str) {
        self.configuration.replace(json.as_bytes().to_vec());
    }

    pub(crate) fn fail_with(&self, error: HostError) {
        self.failure.set(Some(error));
    }

    pub(crate) fn recover(&self) {
        self.failure.set(None);
    }

    /// Every value of a request header.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let headers = self.headers.borrow();
        let named = headers.iter().filter(|(other, _)| other == name);
        named
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    pub(crate) fn filter_state(&self, name: &str) -> Option<String> {
        self.filter_state.borrow().get(name).cloned()
    }

    pub(crate) fn reply(&self) -> Option<Reply> {
        assert!(self.replies.borrow().len() < 2, "replied twice");
        let replies = self.replies.borrow();
        replies.first().map(|(_, reply)| reply.clone())
    }

    /// Takes the replies since the request began or since last asked, with
    /// the contexts that they were made in.
    pub(crate) fn take_replies(&self) -> Vec<(Option<u32>, Reply)> {
        self.replies.take()
    }

    /// The context of the next call; `None`: that of the callback.
    pub(crate) fn entered(&self) -> Option<u32> {
        self.entered.get()
    }

    /// A context that no longer exists.
    pub(crate) fn gone(&self, context: u32) {
        self.gone.borrow_mut().insert(context);
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counters = self.counters.borrow();
        let counter = counters.iter().find(|(other, _)| other == name);
        counter.map_or(0, |(_, value)| *value)
    }

    /// Host calls since the request began.
    pub(crate) fn calls(&self) -> usize {
        self.calls.get()
    }

    pub(crate) fn tick_period(&self) -> Option<Duration> {
        self.tick_periods.borrow().last().copied()
    }

    pub(crate) fn logged(&self, level: LogLevel) -> Vec<String> {
        let logs = self.logs.borrow();
        let of_level = logs.iter().filter(|(other, _)| *other == level);
        of_level.map(|(_, message)| message.clone()).collect()
    }

    fn called(&self) -> Result<(), HostError> {
        self.calls.set(self.calls.get() + 1);
        self.failure.get().map_or(Ok(()), Err)
    }
}

impl Host for MockHost {
    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        self.called()?;
        let headers = self.headers.borrow();
        let pairs = headers.iter();
        Ok(serialize(
            pairs.map(|(name, value)| (name.as_bytes(), value.as_slice())),
        ))
    }

    fn request_body(&self, start: usize, size: usize) -> Result<Vec<u8>, HostError> {
        self.called()?;
        let body = self.body.borrow();
        let range = body.get(start..start + size);
        range
            .map(<[u8]>::to_vec)
            .ok_or(HostError::InvalidMemoryAccess)
    }

    fn response_headers(&self) -> Result<Vec<u8>, HostError> {
        self.called()?;
        let headers = self.response_headers.borrow();
        let pairs = headers.iter();
        Ok(serialize(
            pairs.map(|(name, value)| (name.as_bytes(), value.as_slice())),
        ))
    }

    fn response_body(&self, size: usize) -> Result<Vec<u8>, HostError> {
        self.called()?;
        let body = self.response_body.borrow();
        assert_eq!(body.len(), size);
        Ok(body.clone())
    }

    fn shared(&self, name: &str) -> Result<(Vec<u8>, u32), HostError> {
        self.called()?;
        let shared = self.shared.borrow();
        shared.get(name).cloned().ok_or(HostError::NotFound)
    }

    fn set_shared(&self, name: &str, value: &[u8], version: u32) -> Result<(), HostError> {
        self.called()?;
        let mut shared = self.shared.borrow_mut();
        let now = shared.get(name).map_or(0, |(_, version)| *version);
        if self.disturbed.get() > 0 {
            self.disturbed.set(self.disturbed.get() - 1);
            return Err(HostError::CasMismatch);
        }
        if version != 0 && version != now {
            return Err(HostError::CasMismatch);
        }
        shared.insert(name.to_owned(), (value.to_vec(), now + 1));
        Ok(())
    }

    fn set_request_header(&self, name: &str, value: &str) -> Result<(), HostError> {
        self.called()?;
        let mut headers = self.headers.borrow_mut();
        headers.retain(|(other, _)| other != name);
        headers.push((name.to_owned(), value.as_bytes().to_vec()));
        Ok(())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        self.called()?;
        self.headers.borrow_mut().retain(|(other, _)| other != name);
        Ok(())
    }

    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), HostError> {
        self.called()?;
        let mut state = self.filter_state.borrow_mut();
        state.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn reply(&self, reply: &Reply) -> Result<(), HostError> {
        let reply = (self.entered.get(), reply.clone());
        self.replies.borrow_mut().push(reply);
        self.called()
    }

    fn plugin_configuration(&self) -> Result<Vec<u8>, HostError> {
        self.called()?;
        Ok(self.configuration.borrow().clone())
    }

    fn set_tick_period(&self, period: Duration) -> Result<(), HostError> {
        self.called()?;
        self.tick_periods.borrow_mut().push(period);
        Ok(())
    }

    fn monotonic_time(&self) -> Result<Duration, HostError> {
        self.called()?;
        Ok(self.now.get())
    }

    fn enter(&self, context: u32) -> Result<(), HostError> {
        self.called()?;
        if self.gone.borrow().contains(&context) {
            return Err(HostError::BadArgument);
        }
        self.entered.set(Some(context));
        Ok(())
    }

    fn define_counter(&self, name: &str) -> Result<u32, HostError> {
        self.called()?;
        let mut counters = self.counters.borrow_mut();
        counters.push((name.to_owned(), 0));
        Ok(counters.len() as u32 - 1)
    }

    fn add_to_counter(&self, id: u32, amount: u64) -> Result<(), HostError> {
        self.called()?;
        assert_ne!(amount, 0, "Envoy refuses to add nothing to a counter");
        let mut counters = self.counters.borrow_mut();
        let counter = counters.get_mut(id as usize).ok_or(HostError::NotFound)?;
        counter.1 += amount;
        Ok(())
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.logs.borrow_mut().push((level, message.to_owned()));
    }
}
