//! Callers of whom each asks one question after another on a connection of its
//! own. Behind a connection is one worker of one proxy, so that the order of a
//! caller's questions is the order in which that worker decided.

mod course;
mod faults;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use sharding::{Assignment, SHARD_KEY};
use tokio::task::JoinHandle;

use crate::{Arrival, Client, Member, Protocol, Request};

pub use faults::HandedOut;

/// Connections to each proxy with each protocol: enough that every worker has
/// some.
const CONNECTIONS: usize = 4;

/// Between two questions, so that those under test get the processors too.
const PAUSE: Duration = Duration::from_millis(5);

/// No two callers of one process have the same number.
static CALLERS: AtomicUsize = AtomicUsize::new(0);

/// They ask until they are stopped.
#[derive(Debug)]
pub struct Callers {
    stop: Arc<AtomicBool>,
    excused: Arc<AtomicBool>,
    all: Vec<Caller>,
    /// For an epoch and each caller, the first question that was asked when
    /// every worker was known to have it.
    settled: Vec<(u64, Vec<usize>)>,
}

#[derive(Debug)]
struct Caller {
    number: usize,
    asked: Arc<AtomicUsize>,
    asking: JoinHandle<Result<()>>,
}

/// By which assignments the requests were routed, oldest first.
pub type History = [(u64, Assignment)];

impl Callers {
    /// Starts to ask for these keys through these proxies.
    #[must_use]
    pub fn start(proxies: &[SocketAddr], keys: &[String]) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let excused = Arc::<AtomicBool>::default();
        let mut callers = Vec::new();
        for &proxy in proxies {
            for protocol in [Protocol::H2c, Protocol::Http1] {
                for _ in 0..CONNECTIONS {
                    let client = Client::new(proxy, protocol);
                    let asked = Arc::<AtomicUsize>::default();
                    let number = CALLERS.fetch_add(1, Ordering::Relaxed);
                    let asking = ask(client, number, keys.to_vec(), stop.clone(), asked.clone());
                    let excused = excused.clone();
                    let asking = tokio::spawn(async move {
                        let result = asking.await;
                        let is_excused = excused.load(Ordering::SeqCst);
                        if is_excused { Ok(()) } else { result }
                    });
                    callers.push(Caller {
                        number,
                        asked,
                        asking,
                    });
                }
            }
        }
        Self {
            stop,
            excused,
            all: callers,
            settled: Vec::new(),
        }
    }

    /// Their proxy is about to be killed: from now on a question may stay
    /// without an answer.
    pub fn excuse(&self) {
        self.excused.store(true, Ordering::SeqCst);
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Stops them. Fails if a question was not answered, or if by the members'
    /// own account a worker brought one to another than the owner in what it
    /// can have had of these assignments. Returns how many reached a member.
    pub async fn expect_possible(
        self,
        handed_out: &[HandedOut],
        members: &[Member],
    ) -> Result<usize> {
        self.stop.store(true, Ordering::SeqCst);
        let mut numbers = Vec::new();
        for Caller { number, asking, .. } in self.all {
            asking.await?.with_context(|| format!("caller {number}"))?;
            numbers.push(number);
        }
        let (mut calls, mut judged) = (calls(members), 0);
        for number in numbers {
            let caller = || format!("caller {number}");
            let calls = calls.remove(&number).unwrap_or_default();
            judged += calls.len();
            faults::expect_possible(handed_out, &calls).with_context(caller)?;
        }
        Ok(judged)
    }

    /// Every worker routes by the assignment of that epoch now: no later
    /// question may be routed by an older one.
    pub fn settled(&mut self, epoch: u64) {
        let asked = self.all.iter();
        let asked = asked.map(|caller| caller.asked.load(Ordering::SeqCst));
        self.settled.push((epoch, asked.collect()));
    }

    /// Stops them. Fails if a question was not answered, or if by the members'
    /// own account a worker brought one to another than the owner in its
    /// assignment of the moment.
    pub async fn expect_flawless(self, history: &History, members: &[Member]) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        let mut calls = calls(members);
        for (index, caller) in self.all.into_iter().enumerate() {
            caller.asking.await??;
            let calls = calls.remove(&caller.number).unwrap_or_default();
            let settled = self.settled.iter();
            let settled: Vec<_> = settled
                .map(|(epoch, asked)| (*epoch, asked[index]))
                .collect();
            let course = course::expect_possible(history, &settled, &calls);
            course.with_context(|| format!("caller {}", caller.number))?;
        }
        Ok(())
    }
}

async fn ask(
    client: Client,
    caller: usize,
    keys: Vec<String>,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
) -> Result<()> {
    for key in keys.iter().cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let number = asked.fetch_add(1, Ordering::SeqCst);
        let path = format!("/document?call={caller}.{number}");
        let request = Request::new(Method::GET, &path).header(SHARD_KEY, key)?;
        let reply = client.send(&request).await?;
        reply.answer().with_context(|| path)?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// A question as it reached a member.
#[derive(Debug)]
struct Call {
    number: usize,
    key: String,
    epoch: u64,
    address: SocketAddr,
}

/// The questions of every caller, in the order in which they were asked.
fn calls(members: &[Member]) -> BTreeMap<usize, Vec<Call>> {
    let mut calls = BTreeMap::<usize, Vec<Call>>::new();
    for member in members {
        let address = member.entry(1).address;
        for arrival in member.arrivals() {
            if let Some((caller, number)) = call(&arrival) {
                calls.entry(caller).or_default().push(Call {
                    number,
                    key: arrival.key,
                    epoch: arrival.epoch,
                    address,
                });
            }
        }
    }
    for calls in calls.values_mut() {
        calls.sort_by_key(|call| call.number);
    }
    calls
}

fn call(arrival: &Arrival) -> Option<(usize, usize)> {
    let (_, call) = arrival.path.rsplit_once("?call=")?;
    let (caller, number) = call.split_once('.')?;
    Some((caller.parse().ok()?, number.parse().ok()?))
}
