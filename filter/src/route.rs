//! What happens to a request: its headers are read, the decision is made and
//! carried out.

use sharding::{SHARD_EPOCH, SHARD_KEY, SHARD_OWNER};

use crate::headers::RequestHeaders;
use crate::host::{Host, HostError};
use crate::key::Key;
use crate::metrics::Counter;
use crate::refusal::Refusal;
use crate::request::{Change, Source, Verdict, decide};
use crate::rpc::{Protocol, Reply};
use crate::state::Vm;

/// Filter state with the key of a request: `wasm.shard_key` in access logs.
const KEY_STATE: &str = "shard_key";

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It was answered.
    Answered,
}

impl Vm {
    /// Decides on the current request and acts on it. `root` is its root
    /// context.
    pub fn request(&self, host: &impl Host, root: u32) -> Flow {
        self.keep_ticking(host, root);
        let bytes = match host.request_headers() {
            Ok(bytes) => bytes,
            Err(error) => return self.refuse(host, Protocol::Http, &error.into()),
        };
        let headers = match RequestHeaders::read(&bytes) {
            Ok(headers) => headers,
            Err(error) => return self.refuse(host, Protocol::Http, &error.into()),
        };
        let routed = match self.current() {
            None => Err(Refusal::Unconfigured),
            Some(current) => decide(&headers, &current)
                .and_then(|verdict| self.carry_out(host, &verdict, &current.epoch)),
        };
        match routed {
            Ok(()) => Flow::Continue,
            Err(refusal) => self.refuse(host, Protocol::of(&headers), &refusal),
        }
    }

    fn carry_out(
        &self,
        host: &impl Host,
        verdict: &Verdict<'_>,
        epoch: &str,
    ) -> Result<(), Refusal> {
        // Every write makes Envoy forget the route it had chosen; it looks again once, after the filters.
        let key = verdict.key.as_ref().map(Key::as_str);
        change(host, SHARD_KEY, verdict.shard_key, key)?;
        change(host, SHARD_EPOCH, Change::Set, Some(epoch))?;
        change(host, SHARD_OWNER, verdict.owner, verdict.owner_id)?;
        if let Some(key) = key {
            self.note(host.set_filter_state(KEY_STATE, key));
        }
        self.metrics.add(
            match verdict.source {
                Source::Header => Counter::SourceHeader,
                Source::Fixed => Counter::SourceFixed,
                Source::Any => Counter::SourceAny,
            },
            1,
        );
        for (mended, counter) in [
            (verdict.mended.spelling, Counter::MendedSpelling),
            (verdict.mended.repeated, Counter::MendedRepeated),
            (verdict.mended.project, Counter::MendedProject),
        ] {
            if mended {
                self.metrics.add(counter, 1);
            }
        }
        Ok(())
    }

    fn refuse(&self, host: &impl Host, protocol: Protocol, refusal: &Refusal) -> Flow {
        self.metrics.add(refusal.counter(), 1);
        // The reply passes the response side of all filters. So Envoy's CORS filter adds its headers to it, if it stands
        // in front and the route from before our annotations is not a direct response (seen on 1.40).
        let message = refusal.to_string();
        let reply = Reply::refusal(protocol, refusal.code(), &message, refusal.details());
        self.note(host.reply(&reply));
        Flow::Answered
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

#[cfg(test)]
mod tests;
