//! A proxy, its way to the control plane, and who goes through it.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sharding::Assignment;
use yorkies_tests::{
    Callers, Client, ControlPlane, Envoy, HandedOut, Link, Member, Mode, Protocol, Session,
    TestEnvironment, Watch, Watchers, eventually, expect_owners, keys,
};

/// Streams through each proxy, each for a document of its own.
pub(crate) const STREAMS: usize = 40;

/// One of them in this many is over HTTP/1.1.
const HTTP1_SHARE: usize = 5;

/// Documents that are asked for all the time.
const CALLED: usize = 20;

/// Documents that are asked for in the end.
const ASKED: usize = 200;

/// See the module.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) envoy: Envoy,
    pub(crate) link: Link,
    /// Where it serves and who watches, since it serves.
    serving: Option<(SocketAddr, Watchers)>,
    /// Of all its starts in the episode.
    callers: Vec<Callers>,
}

impl Proxy {
    pub(crate) async fn start(
        env: &mut TestEnvironment,
        control_plane: &ControlPlane,
        mode: Mode,
    ) -> Result<Self> {
        let link = Link::to(control_plane.address()).await?;
        Ok(Self {
            envoy: env.envoy_through(&link, control_plane, mode).await?,
            link,
            serving: None,
            callers: Vec::new(),
        })
    }

    /// Lets the requests of an episode begin.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let address = self.envoy.address().await?;
        self.call(address);
        self.watch(address).await
    }

    /// If it serves since the last look, begins to send requests.
    pub(crate) async fn look(&mut self) -> Result<()> {
        match self.envoy.serves().await {
            Ok(address) if self.serving.is_none() => {
                self.call(address);
                self.watch(address).await
            }
            _ => Ok(()),
        }
    }

    /// Waits until it serves.
    pub(crate) async fn expect_serving(&mut self) -> Result<()> {
        self.envoy.address().await?;
        self.look().await
    }

    /// Kills it, with everybody who goes through it, and starts it again.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        for callers in &self.callers {
            callers.excuse();
        }
        if let Some((_, watchers)) = self.serving.take() {
            expect_no_refusals(&watchers)?;
        }
        self.envoy.restart().await
    }

    fn call(&mut self, address: SocketAddr) {
        self.callers.push(Callers::start(&[address], &keys(CALLED)));
    }

    async fn watch(&mut self, address: SocketAddr) -> Result<()> {
        if self.serving.is_none() {
            let watch = |(number, key)| Watch {
                key,
                proxy: address,
                protocol: if number % HTTP1_SHARE == 0 {
                    Protocol::Http1
                } else {
                    Protocol::H2c
                },
            };
            let watches = keys(STREAMS).into_iter().enumerate().map(watch);
            let mut watches: Vec<_> = watches.collect();
            watches.sort_by_key(|watch| watch.protocol == Protocol::Http1);
            self.serving = Some((address, Watchers::start(watches).await?));
        }
        Ok(())
    }

    /// Stops the callers, and fails unless all their questions were answered
    /// by owners, as far as it lived. Returns how many reached a member.
    pub(crate) async fn end(
        &mut self,
        handed_out: &[HandedOut],
        members: &[Member],
    ) -> Result<usize> {
        let mut judged = 0;
        for callers in self.callers.drain(..) {
            let calls = callers.expect_possible(handed_out, members).await;
            judged += calls.with_context(|| self.envoy.name().to_owned())?;
        }
        Ok(judged)
    }

    /// Fails unless everybody reaches the owner, and every stream is there.
    pub(crate) async fn expect_agreed(&self, assignment: &Assignment) -> Result<()> {
        let (address, watchers) = self.serving.as_ref().context("it does not serve")?;
        for protocol in [Protocol::H2c, Protocol::Http1] {
            let client = Client::new(*address, protocol);
            expect_owners(&client, assignment, &keys(ASKED)).await?;
        }
        eventually("every stream at its owner", async || {
            let open = watchers.open();
            let is_astray = |session: &&Session| {
                let owner = assignment.owner(key(watchers, session).as_bytes());
                owner.is_none_or(|owner| owner.member.address != session.address)
            };
            let astray: Vec<_> = open.iter().filter(is_astray).collect();
            ensure!(
                open.len() == STREAMS && astray.is_empty(),
                "{} of {STREAMS} are open, astray are {astray:?}",
                open.len()
            );
            Ok(())
        })
        .await?;
        expect_no_refusals(watchers)
    }

    /// Fails if a stream ended whose document was always at the same member.
    /// Returns how many ended.
    pub(crate) fn expect_need(&self, since: Instant, handed_out: &[HandedOut]) -> Result<usize> {
        let (_, watchers) = self.serving.as_ref().context("it does not serve")?;
        let ended = watchers.ended_since(since);
        for session in &ended {
            let mut all = handed_out.iter();
            let first = all.position(|handed| handed.epoch == session.epoch);
            // It may be from before the episode, at a member that was still the owner.
            let first = first.or((session.opened < since).then_some(0));
            let first = first.with_context(|| format!("never handed out: {session:?}"))?;
            let is_reason = |handed: &HandedOut| {
                handed.assignment.as_ref().is_none_or(|assignment| {
                    let owner = assignment.owner(key(watchers, session).as_bytes());
                    owner.is_none_or(|owner| owner.member.address != session.address)
                })
            };
            let mut later = handed_out.iter().skip(first);
            ensure!(later.any(is_reason), "ended without need: {session:?}");
        }
        Ok(ended.len())
    }
}

fn key<'a>(watchers: &'a Watchers, session: &Session) -> &'a str {
    &watchers.watches()[session.watch].key
}

/// Whoever comes back is let in at once.
fn expect_no_refusals(watchers: &Watchers) -> Result<()> {
    let refusals = watchers.refusals();
    ensure!(refusals.is_empty(), "streams were refused: {refusals:?}");
    Ok(())
}
