//! Many proxies that are no Envoys but ask and accept as Envoy does, light
//! enough for thousands of them on the machine that serves them.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use sharding::Member;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

mod grpc;
mod http2;
mod kind;
mod proto;
mod proxy;
mod stopwatch;
mod subscriber;

use crate::Mode;
pub use kind::Kind;
use proxy::{BUFFER_BYTES, Buffer};
use stopwatch::Stopwatch;
pub use stopwatch::Times;
use subscriber::Subscriber;

/// The proxies themselves tell when something happened; this only looks.
const LOOK: Duration = Duration::from_millis(5);

/// An update that takes longer will not come.
const LIMIT: Duration = Duration::from_mins(1);

/// Proxies that are connected, or about to be. All of them run on the thread
/// that they were made on, which needs a `LocalSet`.
#[derive(Debug)]
pub struct Crowd {
    proxies: JoinSet<Result<()>>,
    stopwatch: Rc<RefCell<Stopwatch>>,
    kinds: Vec<Kind>,
}

impl Crowd {
    /// Lets that many connect, all at once, and ask for those types. Without
    /// clusters they ask for the endpoints of those names.
    #[must_use]
    pub fn connect(
        target: SocketAddr,
        count: usize,
        mode: Mode,
        kinds: &[Kind],
        endpoints: &[String],
    ) -> Self {
        allow_connections();
        let buffer: Buffer = Rc::new(RefCell::new(vec![0; BUFFER_BYTES].into()));
        let endpoints: Rc<[String]> = endpoints.into();
        let stopwatch = Rc::new(RefCell::new(Stopwatch::new(count)));
        stopwatch.borrow_mut().start(kinds.to_vec());
        let mut proxies = JoinSet::new();
        for number in 0..count {
            let subscriber = Subscriber::new(format!("proxy-{number}"), mode, kinds.to_vec());
            let (buffer, stopwatch) = (Rc::clone(&buffer), Rc::clone(&stopwatch));
            let endpoints = Rc::clone(&endpoints);
            proxies.spawn_local(async move {
                proxy::run(target, number, subscriber, &endpoints, buffer, stopwatch)
                    .await
                    .with_context(|| format!("proxy {number}"))
            });
        }
        Self {
            proxies,
            stopwatch,
            kinds: kinds.to_vec(),
        }
    }

    /// Lets that many connect and ask for the endpoints of that name, who never
    /// read; until what is returned is dropped.
    pub async fn stuck(
        target: SocketAddr,
        count: usize,
        mode: Mode,
        endpoints: &str,
    ) -> Result<Vec<TcpStream>> {
        let endpoints = [endpoints.to_owned()];
        let mut streams = Vec::new();
        for number in 0..count {
            let node = format!("stuck-{number}");
            let subscriber = Subscriber::new(node, mode, vec![Kind::Eds]);
            streams.push(proxy::stuck(target, subscriber, &endpoints).await?);
        }
        Ok(streams)
    }

    /// What follows is a change of members: of the types that there are, those
    /// that have members in them.
    pub fn expect_change(&self) {
        let mut changing = self.kinds.clone();
        changing.retain(|kind| matches!(kind, Kind::Eds | Kind::Ecds));
        self.stopwatch.borrow_mut().start(changing);
    }

    /// Waits until every proxy has accepted what is expected.
    pub async fn done(&mut self) -> Result<Times> {
        let start = Instant::now();
        self.until(
            |stopwatch| stopwatch.left() == 0,
            || {
                ensure!(start.elapsed() < LIMIT, "not all proxies are served");
                Ok(())
            },
        )
        .await?;
        Ok(self.stopwatch.borrow().times())
    }

    /// Waits until nothing has come for that long.
    pub async fn silent(&mut self, rest: Duration) -> Result<()> {
        self.until(|stopwatch| stopwatch.silence() >= rest, || Ok(()))
            .await
    }

    async fn until(
        &mut self,
        is_it: impl Fn(&Stopwatch) -> bool,
        may_go_on: impl Fn() -> Result<()>,
    ) -> Result<()> {
        while !is_it(&self.stopwatch.borrow()) {
            let left = self.stopwatch.borrow().left();
            may_go_on().with_context(|| format!("{left} left"))?;
            if let Some(ended) = self.proxies.try_join_next() {
                ended??;
                bail!("a proxy has ended");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// That many members, for proxies that route nothing to them. One of them counts
/// double after every other change.
#[must_use]
pub fn members_nowhere(count: u32, changes: u32) -> Vec<Member> {
    let network = u32::from(Ipv4Addr::new(10, 0, 0, 0));
    let member = |number: u32| {
        let address = Ipv4Addr::from(network + 1 + number);
        let weight = if number == 0 { 1 + changes % 2 } else { 1 };
        Member::new(format!("yorkie-{number}"), (address, 8080).into(), weight)
    };
    (0..count).map(member).collect()
}

/// Takes as many descriptors as the system lets a process have. What fails here
/// fails again where one is missing.
fn allow_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
