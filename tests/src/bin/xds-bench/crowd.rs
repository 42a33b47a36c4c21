//! All proxies, on one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;
use yorkies_tests::Mode;

use crate::kind::Kind;
use crate::proxy::{self, BUFFER_BYTES, Buffer};
use crate::stopwatch::{Stopwatch, Times};
use crate::subscriber::Subscriber;

/// The proxies themselves tell when something happened; this only looks.
const LOOK: Duration = Duration::from_millis(5);

/// An update that takes longer will not come.
const LIMIT: Duration = Duration::from_secs(60);

/// Proxies that are connected, or about to be.
pub(crate) struct Crowd {
    proxies: JoinSet<Result<()>>,
    stopwatch: Rc<RefCell<Stopwatch>>,
    kinds: Vec<Kind>,
}

impl Crowd {
    /// Lets that many connect, all at once.
    pub(crate) fn connect(
        target: SocketAddr,
        count: usize,
        mode: Mode,
        kinds: &[Kind],
        endpoints: &[String],
    ) -> Self {
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

    /// What follows is a change of members: of the types that there are, those
    /// that have members in them.
    pub(crate) fn expect_change(&self) {
        let mut changing = self.kinds.clone();
        changing.retain(|kind| matches!(kind, Kind::Eds | Kind::Ecds));
        self.stopwatch.borrow_mut().start(changing);
    }

    /// Waits until every proxy has accepted what is expected.
    pub(crate) async fn done(&mut self) -> Result<Times> {
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
    pub(crate) async fn silent(&mut self, rest: Duration) -> Result<()> {
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
