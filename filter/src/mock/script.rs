//! What tests tell the mock, and ask it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{MockCall, MockHost};
use crate::host::{HostError, LogLevel};
use crate::rpc::Reply;

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

    /// The callback at hand is one of that context.
    pub(crate) fn in_callback_of(&self, context: u32) {
        self.entered.set(Some(context));
    }

    /// What that context knows; `None`: that of the callback.
    pub(crate) fn property_of(&self, context: Option<u32>, path: &str, value: impl AsRef<[u8]>) {
        let mut properties = self.properties.borrow_mut();
        properties.insert((context, path.to_owned()), value.as_ref().to_vec());
    }

    /// Takes the contexts that were reset since last asked.
    pub(crate) fn take_resets(&self) -> Vec<u32> {
        let resets = self.resets.borrow();
        let mut new = resets.iter().skip(self.resets_seen.get());
        let contexts = new.by_ref().map(|context| context.unwrap()).collect();
        self.resets_seen.set(resets.len());
        contexts
    }

    /// Takes the calls of its own since last asked.
    pub(crate) fn take_grpc_calls(&self) -> Vec<MockCall> {
        self.grpc_calls.take()
    }

    pub(crate) fn gauge(&self, name: &str) -> u64 {
        let gauges = self.gauges.borrow();
        let gauge = gauges.iter().find(|(other, _)| other == name);
        gauge.map_or(0, |(_, value)| value.cast_unsigned())
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
        self.tick_periods.borrow().last().map(|(_, period)| *period)
    }

    /// The contexts that Envoy would have made a timer for.
    pub(crate) fn timers(&self) -> BTreeSet<Option<u32>> {
        let periods = self.tick_periods.borrow();
        periods.iter().map(|(context, _)| *context).collect()
    }

    /// The contexts whose end was put off and has come.
    pub(crate) fn done_late(&self) -> Vec<Option<u32>> {
        self.done.borrow().clone()
    }

    pub(crate) fn logged(&self, level: LogLevel) -> Vec<String> {
        let logs = self.logs.borrow();
        let of_level = logs.iter().filter(|(other, _)| *other == level);
        of_level.map(|(_, message)| message.clone()).collect()
    }

    pub(super) fn called(&self) -> Result<(), HostError> {
        self.calls.set(self.calls.get() + 1);
        self.failure.get().map_or(Ok(()), Err)
    }
}
