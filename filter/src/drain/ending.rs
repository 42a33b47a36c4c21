//! The ends of streams that moved.

use std::time::Duration;

use crate::host::{Host, LogLevel};
use crate::metrics::{Counter, Gauge, Metrics};
use crate::rpc::{Code, Reply};

use super::open::{Place, Upstream};
use super::schedule::BATCH;
use super::{Drain, LOOK_EVERY};

/// To the next look while requests are left to be asked where they are.
const ASKING: Duration = Duration::from_millis(10);

/// What the callers are told whose requests were not answered yet.
const MOVED: &str = "the shard key has got another owner: send the request again";
const MOVED_DETAILS: &str = "yorkies_moved";

impl Drain {
    /// Looks at all streams, if it is time or `is_assigned` just now, and ends
    /// those whose moment has come; in a callback of the context `root`. Returns
    /// how soon it wants to be called again, if before the next slow tick.
    pub fn round(
        &mut self,
        host: &impl Host,
        root: u32,
        metrics: &Metrics,
        now: Duration,
        is_assigned: bool,
    ) -> Option<Duration> {
        self.now = now;
        if is_assigned || self.asked.is_some() || now.saturating_sub(self.looked) >= LOOK_EVERY {
            self.look(host, root, metrics);
        }
        self.tell_of_stops(host);
        if self.trust.is_good() {
            for _ in 0..BATCH {
                let Some(id) = self.queue.next(now) else {
                    break;
                };
                self.end(id, host, root, metrics);
            }
        }
        let gauges = &metrics.gauges;
        gauges.set(Gauge::OpenStreams, self.seen.open);
        gauges.set(Gauge::MisplacedStreams, self.seen.misplaced);
        gauges.set(Gauge::DrainStopped, self.trust.has_stopped().into());
        let next_end = self.queue.wait(now).filter(|_| self.trust.is_good());
        next_end.into_iter().chain(self.asked.map(|_| ASKING)).min()
    }

    fn end(&mut self, id: u32, host: &impl Host, root: u32, metrics: &Metrics) {
        self.seen.misplaced = self.seen.misplaced.saturating_sub(1);
        // It may have ended, or changed its place, since it was looked at.
        if self.place(id) != Some(Place::Misplaced) {
            return;
        }
        // Before the host is asked: whatever comes of that, it is not asked again.
        let Some(stream) = self.open.remove(id) else {
            return;
        };
        let ended = host.within(id, root, || {
            if stream.is_answered {
                host.reset()
            } else {
                let code = Code::Unavailable;
                host.reply(&Reply::refusal(stream.protocol, code, MOVED, MOVED_DETAILS))
            }
        });
        if ended.and_then(|ended| ended).is_err() {
            metrics.add(Counter::HostErrors, 1);
            return;
        }
        self.drained += 1;
        self.seen.open = self.seen.open.saturating_sub(1);
        if let Upstream::At(address) = stream.upstream
            && let Some(open) = self.seen.at.get_mut(&address)
        {
            *open = open.saturating_sub(1);
        }
        let counter = if stream.is_answered {
            Counter::DrainedReset
        } else {
            Counter::DrainedAnswered
        };
        metrics.add(counter, 1);
    }

    fn tell_of_stops(&mut self, host: &impl Host) {
        let has_stopped = self.trust.has_stopped();
        if std::mem::replace(&mut self.was_stopped, has_stopped) == has_stopped {
            return;
        }
        let epoch = self.current.as_ref().map_or("", |current| &current.epoch);
        if has_stopped {
            host.log(
                LogLevel::Error,
                &format!(
                    "yorkies: requests go elsewhere than epoch {epoch} says: no stream is ended until an epoch proves right"
                ),
            );
        } else {
            host.log(
                LogLevel::Info,
                &format!("yorkies: epoch {epoch} proves right: streams are ended again"),
            );
        }
    }
}
