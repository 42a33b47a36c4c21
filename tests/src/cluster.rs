//! Several proxies before the same members, as in production.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use sharding::{Assignment, Member as Entry, Policy, Roster};

use crate::{
    Arrival, Client, ControlPlane, Envoy, Member, Mode, Protocol, Settings, TestEnvironment, Watch,
    Watchers, assignment, eventually, settled,
};

/// One watch in this many is over HTTP/1.1.
const HTTP1_SHARE: usize = 5;

/// A control plane, its proxies, and every assignment that there was.
#[derive(Debug)]
pub struct Cluster {
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The proxies.
    pub envoys: Vec<Envoy>,
    /// A client of each proxy and protocol.
    pub clients: Vec<Client>,
    policy: Policy,
    entries: Vec<Entry>,
    history: Vec<(u64, Assignment)>,
}

impl Cluster {
    /// Starts a proxy for each of `modes`, and waits until all route to these
    /// members.
    pub async fn start(
        env: &mut TestEnvironment,
        settings: Settings,
        modes: &[Mode],
        entries: Vec<Entry>,
    ) -> Result<Self> {
        let policy = settings.policy;
        let control_plane = env.control_plane(settings).await?;
        control_plane
            .members()
            .replace(&Roster::new(entries.clone())?)?;
        let (mut envoys, mut clients) = (Vec::new(), Vec::new());
        for &mode in modes {
            let envoy = env.envoy(&control_plane, mode).await?;
            clients.push(envoy.client(Protocol::H2c).await?);
            clients.push(envoy.client(Protocol::Http1).await?);
            envoys.push(envoy);
        }
        let mut this = Self {
            control_plane,
            envoys,
            clients,
            policy,
            entries,
            history: Vec::new(),
        };
        this.settle().await?;
        Ok(this)
    }

    /// The members that are expected to serve.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The assignment that is expected; its own epoch means nothing.
    pub fn expected(&self) -> Result<Assignment> {
        assignment(self.policy, self.entries.clone())
    }

    /// Who owns that key now.
    pub fn owner_of(&self, key: &str) -> Result<Entry> {
        let expected = self.expected()?;
        let owner = expected.owner(key.as_bytes()).context("no member")?;
        Ok(owner.member.clone())
    }

    /// The highest epoch that every worker is known to have.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.history.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Replaces the members file, and expects these members from now on.
    pub fn edit(&mut self, entries: Vec<Entry>) -> Result<()> {
        let roster = Roster::new(entries.clone())?;
        self.control_plane.members().replace(&roster)?;
        self.entries = entries;
        Ok(())
    }

    /// Waits until every worker of every proxy routes under a newer epoch.
    pub async fn settle(&mut self) -> Result<()> {
        let clients: Vec<_> = self.clients.iter().collect();
        let epoch = settled(&clients, self.epoch()).await?;
        self.history.push((epoch, self.expected()?));
        Ok(())
    }

    /// Restarts the control plane with another policy, and waits until every
    /// worker routes by it.
    pub async fn change_policy(&mut self, policy: Policy) -> Result<()> {
        self.control_plane.restart_with(policy).await?;
        self.policy = policy;
        self.settle().await
    }

    /// `streams` watches of these documents, evenly over proxies, workers and
    /// protocols.
    pub async fn watches(&self, documents: &[String], streams: usize) -> Result<Vec<Watch>> {
        let mut proxies = Vec::new();
        for envoy in &self.envoys {
            proxies.push(envoy.address().await?);
        }
        ensure!(
            !proxies.is_empty() && !documents.is_empty(),
            "nothing to watch"
        );
        let mut watches: Vec<_> = (0..streams)
            .map(|number| Watch {
                // Each document through every proxy.
                key: documents[number / proxies.len() % documents.len()].clone(),
                proxy: proxies[number % proxies.len()],
                protocol: if number / proxies.len() % HTTP1_SHARE == 0 {
                    Protocol::Http1
                } else {
                    Protocol::H2c
                },
            })
            .collect();
        watches.sort_by_key(|watch| (watch.proxy, watch.protocol == Protocol::Http1));
        Ok(watches)
    }

    /// Which of the watches have to end when `before` becomes what is expected
    /// now: those whose document is served at another address.
    pub fn moved(&self, before: &Assignment, watches: &[Watch]) -> Result<Vec<usize>> {
        let after = self.expected()?;
        let mut moved = Vec::new();
        for (index, watch) in watches.iter().enumerate() {
            if address(before, &watch.key)? != address(&after, &watch.key)? {
                moved.push(index);
            }
        }
        Ok(moved)
    }

    /// Waits until every watch is open at the owner of its document.
    pub async fn expect_placed(&self, watchers: &Watchers) -> Result<()> {
        let expected = self.expected()?;
        eventually("every stream at its owner", async || {
            let open = watchers.open();
            let mut astray = Vec::new();
            for session in &open {
                let key = &watchers.watches()[session.watch].key;
                if address(&expected, key)? != session.address {
                    astray.push(session);
                }
            }
            let (open, all) = (open.len(), watchers.watches().len());
            let (count, example) = (astray.len(), astray.first());
            ensure!(
                open == all && count == 0,
                "{open} of {all} are open, {count} of them astray, such as {example:?}"
            );
            Ok(())
        })
        .await
    }

    /// Fails if, as the members see it, a stream is open where it does not
    /// belong, or their number is another.
    pub fn expect_members_agree(&self, members: &[Member], streams: usize) -> Result<()> {
        let expected = self.expected()?;
        let mut open = 0;
        for member in members {
            let me = member.entry(1);
            let arrivals = member.arrivals().into_iter();
            for stream in arrivals.filter(|arrival| arrival.is_stream && arrival.ended.is_none()) {
                open += 1;
                ensure!(
                    address(&expected, &stream.key)? == me.address,
                    "{} has {stream:?}, which belongs to another",
                    me.id,
                );
            }
        }
        ensure!(
            open == streams,
            "the members have {open} open streams, expected {streams}"
        );
        Ok(())
    }

    /// Fails if a member got a request that no proxy could have meant for it:
    /// it was the owner neither under the epoch that the request bears nor
    /// under the next one, which reaches a worker's table just before the
    /// filter hears of it.
    pub fn expect_only_owners_were_asked(&self, members: &[Member]) -> Result<()> {
        for member in members {
            let me = member.entry(1).address;
            for arrival in member.arrivals() {
                let meant = self.owners(&arrival)?;
                ensure!(
                    meant.contains(&me),
                    "{} got {arrival:?}, meant for one of {meant:?}",
                    member.entry(1).id
                );
            }
        }
        Ok(())
    }

    fn owners(&self, arrival: &Arrival) -> Result<Vec<SocketAddr>> {
        let known = self
            .history
            .iter()
            .position(|(epoch, _)| *epoch == arrival.epoch);
        let known = known.with_context(|| format!("unknown epoch: {arrival:?}"))?;
        let assignments = self.history.iter().skip(known).take(2);
        assignments
            .map(|(_, assignment)| address(assignment, &arrival.key))
            .collect()
    }
}

fn address(assignment: &Assignment, key: &str) -> Result<SocketAddr> {
    let owner = assignment.owner(key.as_bytes()).context("no member")?;
    Ok(owner.member.address)
}
