//! Several proxies before the same members, as in production.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::{Assignment, Member as Entry, Policy, Roster};

use crate::{
    Arrival, Client, ControlPlane, Envoy, History, Member, Mode, Protocol, Settings,
    TestEnvironment, Watch, Watchers, eventually,
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
        let mut control_plane = env.control_plane(settings).await?;
        control_plane.edit(entries)?;
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
            history: Vec::new(),
        };
        this.rebalanced().await?;
        Ok(this)
    }

    /// As [`ControlPlane::expected`].
    pub fn expected(&self) -> Result<Assignment> {
        self.control_plane.expected()
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

    /// By which assignments was routed, as far as every worker was known to
    /// have them.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// As [`ControlPlane::edit`].
    pub fn edit(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.control_plane.edit(entries)
    }

    /// Waits until the rebalance to what is expected is over, as the control
    /// plane sees it: no stream is misplaced on any proxy.
    pub async fn rebalanced(&mut self) -> Result<()> {
        self.at_rest(|vm| vm["misplaced"] == 0).await
    }

    /// Waits until all proxies route as expected; their streams may be anywhere.
    pub async fn handed_out(&mut self) -> Result<()> {
        self.at_rest(|_| true).await
    }

    async fn at_rest(&mut self, is_fine: impl Fn(&Value) -> bool) -> Result<()> {
        let roster = Roster::new(self.control_plane.entries().to_vec())?;
        let policy = self.control_plane.policy().to_string();
        let known = self.epoch();
        let epoch = eventually("rebalanced", async || {
            let status = self.control_plane.status().await?;
            let epoch = status["epoch"].as_u64().unwrap_or_default();
            let vms = status["proxies"].as_array().into_iter().flatten();
            let vms = vms.filter_map(|proxy| proxy["vms"].as_array()).flatten();
            let is_there = |vm: &Value| vm["epoch"] == epoch && is_fine(vm);
            let behind = vms.filter(|vm| !is_there(vm)).count();
            let (current, all) = (current_proxies(&status), self.envoys.len());
            ensure!(
                epoch > known
                    && status["stage"] == "stable"
                    && status["pending"] == false
                    && status["policy"] == policy
                    && has_members(&status, &roster)
                    && behind == 0
                    && current == all,
                "still at {status:#}"
            );
            Ok(epoch)
        })
        .await?;
        self.history.push((epoch, self.expected()?));
        Ok(())
    }

    /// Restarts the control plane with another policy, and waits until the
    /// rebalance to it is over.
    pub async fn restart_with(&mut self, policy: Policy) -> Result<()> {
        self.control_plane.restart_with(policy).await?;
        self.rebalanced().await
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

/// Proxies that have accepted the newest snapshot.
fn current_proxies(status: &Value) -> usize {
    let proxies = status["proxies"].as_array().into_iter().flatten();
    let streams = proxies.filter_map(|proxy| proxy["streams"].as_array());
    let is_current = |streams: &&Vec<Value>| streams.iter().any(|stream| stream["current"] == true);
    streams.filter(is_current).count()
}

fn has_members(status: &Value, roster: &Roster) -> bool {
    let members = status["members"].as_array().into_iter().flatten();
    let serves = |member: &&Value| member["state"] == "serving" || member["state"] == "failing";
    let named: Vec<_> = members
        .filter(serves)
        .map(|member| {
            let text = |name: &str| member[name].as_str().unwrap_or_default().to_owned();
            (text("id"), text("address"), member["weight"].as_u64())
        })
        .collect();
    let expected = roster.members().iter().map(|member| {
        let (id, address) = (member.id.clone(), member.address.to_string());
        (id, address, Some(u64::from(member.weight)))
    });
    named.into_iter().eq(expected)
}

fn address(assignment: &Assignment, key: &str) -> Result<SocketAddr> {
    let owner = assignment.owner(key.as_bytes()).context("no member")?;
    Ok(owner.member.address)
}
