//! A host that remembers what it was asked, and does to the headers what
//! Envoy does.

mod script;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::headers::serialize;
use crate::host::{GrpcCall, Host, HostError, LogLevel};
use crate::rpc::Reply;

/// By the context that knows them, and name.
type Properties = BTreeMap<(Option<u32>, String), Vec<u8>>;

/// A gRPC call that was made.
#[derive(Debug)]
pub(crate) struct MockCall {
    pub(crate) context: Option<u32>,
    pub(crate) target: Vec<u8>,
    pub(crate) method: String,
    pub(crate) message: Vec<u8>,
}

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
    gauges: RefCell<Vec<(String, i64)>>,
    properties: RefCell<Properties>,
    resets: RefCell<Vec<Option<u32>>>,
    resets_seen: Cell<usize>,
    grpc_calls: RefCell<Vec<MockCall>>,
    /// With the context that each was set in.
    tick_periods: RefCell<Vec<(Option<u32>, Duration)>>,
    /// Contexts whose end was put off and has come.
    done: RefCell<Vec<Option<u32>>>,
    logs: RefCell<Vec<(LogLevel, String)>>,
    calls: Cell<usize>,
    failure: Cell<Option<HostError>>,
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
        // Envoy looks at the version only of what is there.
        if now != 0 && version != 0 && version != now {
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

    fn reset(&self) -> Result<(), HostError> {
        self.called()?;
        let mut resets = self.resets.borrow_mut();
        assert!(!resets.contains(&self.entered.get()), "reset twice");
        resets.push(self.entered.get());
        Ok(())
    }

    fn property(&self, path: &[&str]) -> Result<Vec<u8>, HostError> {
        self.called()?;
        let properties = self.properties.borrow();
        let name = (self.entered.get(), path.join("."));
        properties.get(&name).cloned().ok_or(HostError::NotFound)
    }

    fn grpc_call(&self, call: &GrpcCall<'_>) -> Result<(), HostError> {
        self.called()?;
        self.grpc_calls.borrow_mut().push(MockCall {
            context: self.entered.get(),
            target: call.target.to_vec(),
            method: format!("{}/{}", call.service, call.method),
            message: call.message.to_vec(),
        });
        Ok(())
    }

    fn plugin_configuration(&self) -> Result<Vec<u8>, HostError> {
        self.called()?;
        Ok(self.configuration.borrow().clone())
    }

    fn set_tick_period(&self, period: Duration) -> Result<(), HostError> {
        self.called()?;
        let set = (self.entered.get(), period);
        self.tick_periods.borrow_mut().push(set);
        Ok(())
    }

    fn done(&self) -> Result<(), HostError> {
        self.called()?;
        self.done.borrow_mut().push(self.entered.get());
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
        if let Some(id) = counters.iter().position(|(other, _)| other == name) {
            return Ok(id as u32);
        }
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

    fn define_gauge(&self, name: &str) -> Result<u32, HostError> {
        self.called()?;
        let mut gauges = self.gauges.borrow_mut();
        if let Some(id) = gauges.iter().position(|(other, _)| other == name) {
            return Ok(id as u32);
        }
        gauges.push((name.to_owned(), 0));
        Ok(gauges.len() as u32 - 1)
    }

    fn move_gauge(&self, id: u32, change: i64) -> Result<(), HostError> {
        self.called()?;
        let mut gauges = self.gauges.borrow_mut();
        let gauge = gauges.get_mut(id as usize).ok_or(HostError::NotFound)?;
        gauge.1 += change;
        assert!(gauge.1 >= 0, "{gauge:?}");
        Ok(())
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.logs.borrow_mut().push((level, message.to_owned()));
    }
}
