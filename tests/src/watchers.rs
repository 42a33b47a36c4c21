//! Long-lived streams, as people have who look at a document.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sharding::SHARD_KEY;
use tokio::task::JoinSet;

use crate::{Answer, Protocol, STAY_OPEN, eventually};

const WATCH: &str = "/yorkie.v1.YorkieService/Watch?watch=";

/// Streams that share a connection of HTTP/2.
const STREAMS_PER_CONNECTION: usize = 50;

/// Between two attempts to open a stream.
const RETRY: Duration = Duration::from_millis(20);

/// Who watches what, and through which proxy.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The shard key.
    pub key: String,
    /// Where the proxy listens.
    pub proxy: SocketAddr,
    /// How it is spoken to.
    pub protocol: Protocol,
}

/// One stream, from its first answer to its end.
#[derive(Debug, Clone)]
pub struct Session {
    /// Which of the watches.
    pub watch: usize,
    /// Id of the member that answered.
    pub member: String,
    /// Its address.
    pub address: SocketAddr,
    /// The epoch under which the stream was routed.
    pub epoch: u64,
    /// When it answered.
    pub opened: Instant,
    /// When and how it ended, unless it is open.
    pub ended: Option<(Instant, String)>,
}

/// Streams that are opened again whenever they end, until this is dropped.
#[derive(Debug)]
pub struct Watchers {
    watches: Arc<[Watch]>,
    log: Arc<Log>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Log {
    sessions: Mutex<Vec<Session>>,
    refusals: Mutex<Vec<(Instant, String)>>,
}

type Lane = legacy::Client<HttpConnector, Full<Bytes>>;

impl Watchers {
    /// Opens all of these streams, and waits until all are open.
    pub async fn start(watches: Vec<Watch>) -> Result<Self> {
        Self::start_over(watches, Duration::ZERO).await
    }

    /// The same, but opens them one after another, evenly over that time.
    pub async fn start_over(watches: Vec<Watch>, time: Duration) -> Result<Self> {
        let watches: Arc<[Watch]> = watches.into();
        let log = Arc::<Log>::default();
        let mut tasks = JoinSet::new();
        let mut lane = None;
        for index in 0..watches.len() {
            let watch = watches[index].clone();
            // A proxy's connections of HTTP/2 are shared, those of HTTP/1.1 cannot be.
            let is_next = index % STREAMS_PER_CONNECTION == 0
                || watches[index - 1].proxy != watch.proxy
                || watches[index - 1].protocol != watch.protocol;
            if is_next || lane.is_none() {
                lane = Some(open_lane(watch.protocol));
            }
            if let Some(lane) = lane.clone() {
                let wait = time.mul_f64(index as f64 / watches.len() as f64);
                let log = log.clone();
                tasks.spawn(async move {
                    tokio::time::sleep(wait).await;
                    keep_open(index, watch, lane, log).await;
                });
            }
        }
        tokio::time::sleep(time).await;
        let this = Self {
            watches,
            log,
            _tasks: tasks,
        };
        eventually("every stream open", async || {
            let open = this.count(|session| session.ended.is_none());
            let all = this.watches.len();
            ensure!(open == all, "{open} of {all} streams are open");
            Ok(())
        })
        .await?;
        Ok(this)
    }

    /// Who watches what.
    #[must_use]
    pub fn watches(&self) -> &[Watch] {
        &self.watches
    }

    /// All streams so far, in the order in which they were answered.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        lock(&self.log.sessions).clone()
    }

    /// How many of all streams so far are like that: cheap enough to be asked
    /// while they end.
    #[must_use]
    pub fn count(&self, is_it: impl Fn(&Session) -> bool) -> usize {
        let sessions = lock(&self.log.sessions);
        sessions.iter().filter(|session| is_it(session)).count()
    }

    /// Those that are open.
    #[must_use]
    pub fn open(&self) -> Vec<Session> {
        let sessions = lock(&self.log.sessions);
        let open = sessions.iter().filter(|session| session.ended.is_none());
        open.cloned().collect()
    }

    /// Those that ended at or after that moment.
    #[must_use]
    pub fn ended_since(&self, moment: Instant) -> Vec<Session> {
        let sessions = lock(&self.log.sessions);
        let ended = sessions.iter().filter(|session| {
            let ended = session.ended.as_ref();
            ended.is_some_and(|(at, _)| *at >= moment)
        });
        ended.cloned().collect()
    }

    /// Fails unless since that moment the streams of just these watches have
    /// ended, each of them once. Returns them.
    pub fn expect_ended(&self, since: Instant, watches: &[usize]) -> Result<Vec<Session>> {
        let ended = self.ended_since(since);
        let mut times = BTreeMap::<usize, usize>::new();
        for session in &ended {
            *times.entry(session.watch).or_default() += 1;
        }
        let expected: BTreeMap<_, _> = watches.iter().map(|&watch| (watch, 1)).collect();
        let is_astray =
            |session: &&Session| expected.get(&session.watch) != times.get(&session.watch);
        let astray: Vec<_> = ended.iter().filter(is_astray).take(3).collect();
        let missed = watches.iter().filter(|watch| !times.contains_key(watch));
        ensure!(
            times == expected,
            "{} streams had to end and {} of them did not; {} ended, without need or twice such as {astray:#?}",
            watches.len(),
            missed.count(),
            ended.len(),
        );
        Ok(ended)
    }

    /// Attempts to open a stream that no member answered, with their reasons.
    #[must_use]
    pub fn refusals(&self) -> Vec<(Instant, String)> {
        lock(&self.log.refusals).clone()
    }
}

fn open_lane(protocol: Protocol) -> Lane {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(protocol == Protocol::H2c)
        .pool_max_idle_per_host(usize::from(protocol == Protocol::H2c))
        .retry_canceled_requests(false)
        .build(connector)
}

async fn keep_open(index: usize, watch: Watch, lane: Lane, log: Arc<Log>) {
    loop {
        let Err(error) = watch_once(index, &watch, &lane, &log).await;
        lock(&log.refusals).push((Instant::now(), format!("{error:#}")));
        tokio::time::sleep(RETRY).await;
    }
}

/// Watches until an attempt to open the stream fails.
async fn watch_once(
    index: usize,
    watch: &Watch,
    lane: &Lane,
    log: &Log,
) -> Result<std::convert::Infallible> {
    loop {
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{WATCH}{index}", watch.proxy))
            .header(http::header::CONTENT_TYPE, "application/connect+json")
            .header(SHARD_KEY, &watch.key)
            .header(STAY_OPEN, "yes")
            .body(Full::default())?;
        let response = lane.request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let first = body.frame().await.context("no answer")??;
        let first = first.into_data().unwrap_or_default();
        let text = String::from_utf8_lossy(&first);
        ensure!(status == StatusCode::OK, "{status}: {text}");
        let answer: Answer = serde_json::from_str(&text).context("no member's answer")?;
        let position = {
            let mut sessions = lock(&log.sessions);
            sessions.push(Session {
                watch: index,
                epoch: answer.epoch()?,
                member: answer.member,
                address: answer.address,
                opened: Instant::now(),
                ended: None,
            });
            sessions.len() - 1
        };
        let how = loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break chain(&error),
                None => break "end".to_owned(),
            }
        };
        if let Some(session) = lock(&log.sessions).get_mut(position) {
            session.ended = Some((Instant::now(), how));
        }
    }
}

/// An error with its causes: that of hyper alone does not tell a reset.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
