//! Requests that go on while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::task::JoinHandle;

use crate::{Client, Reply, Request};

/// Between two rounds, so that those under test get the processors too.
const PAUSE: Duration = Duration::from_millis(20);

/// Keyed requests, round after round, until stopped.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    rounds: JoinHandle<Result<TrafficReport>>,
}

/// What came of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TrafficReport {
    /// Requests that a member answered.
    pub answered: usize,
    /// Why the others were not answered.
    pub failures: Vec<String>,
    /// Answers by another than the router expected.
    pub misrouted: Vec<String>,
}

impl Traffic {
    /// Starts to ask for these keys.
    #[must_use]
    pub fn start(client: Client, keys: Vec<String>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let rounds = tokio::spawn(async move {
            let requests: Vec<_> = keys.iter().map(Request::of_key).collect::<Result<_>>()?;
            let mut report = TrafficReport::default();
            while !stopped.load(Ordering::Relaxed) {
                for reply in client.send_all(requests.clone()).await? {
                    report.note(reply);
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(report)
        });
        Self { stop, rounds }
    }

    /// Stops and reports.
    pub async fn stop(self) -> Result<TrafficReport> {
        self.stop.store(true, Ordering::Relaxed);
        self.rounds.await?
    }
}

impl TrafficReport {
    /// Fails unless there was traffic and every request reached the expected
    /// owner.
    pub fn expect_flawless(&self) -> Result<()> {
        ensure!(
            self.answered > 0 && self.failures.is_empty() && self.misrouted.is_empty(),
            "the traffic was not flawless: {self:?}"
        );
        Ok(())
    }

    fn note(&mut self, reply: Result<Reply>) {
        match reply.and_then(|reply| reply.answer()) {
            Ok(answer) => {
                self.answered += 1;
                if answer.owner().ok() != Some(answer.member.as_str()) {
                    let (member, headers) = (answer.member, answer.headers);
                    self.misrouted.push(format!("{member} got {headers:?}"));
                }
            }
            Err(error) => self.failures.push(format!("{error:#}")),
        }
    }
}
