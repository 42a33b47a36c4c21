//! Everything that can fail, and that it is well again.

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sharding::{Assignment, Roster};
use yorkies_tests::{
    ControlPlane, Member, Mode, Passage, Settings, TestEnvironment, equal_weights, eventually,
};

use crate::clock::Clock;
use crate::disk::Disk;
use crate::faults::{Garbage, Left, MEMBERS, PROXIES, Step};
use crate::footprint::Footprint;
use crate::handed_out::Handed;
use crate::outcome::Outcome;
use crate::proxy::{Proxy, STREAMS};

/// Quick, so that much happens, and with little patience for who is cut off.
const SETTINGS: &str = "rebalance: { settle: 20ms, settle_max: 100ms, ack_wait: 1s }\n";

/// How far the clock is ahead at first: so the first epoch tells whether the
/// control plane goes by it.
const AHEAD: Duration = Duration::from_hours(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Scene {
    control_plane: ControlPlane,
    proxies: Vec<Proxy>,
    members: Vec<Member>,
    clock: Clock,
    disk: Disk,
    handed: Handed,
    /// What the members file has had.
    written: Vec<Roster>,
    /// That all agreed on last.
    epoch: u64,
    footprint: Footprint,
}

impl Scene {
    /// Starts everything, and waits until all agree.
    pub(crate) async fn start(env: &mut TestEnvironment) -> Result<Self> {
        let ahead = i64::try_from(AHEAD.as_secs())?;
        let clock = Clock::start(env.folder(), ahead)?;
        let members = env.members(MEMBERS).await?;
        let settings = Settings {
            more: SETTINGS,
            environment: clock.environment(),
            ..Settings::default()
        };
        let mut control_plane = env.control_plane(settings).await?;
        let first = equal_weights(&members[..3]);
        control_plane.edit(first.clone())?;
        let mut proxies = Vec::new();
        for mode in Mode::ALL {
            let mut proxy = Proxy::start(env, &control_plane, mode).await?;
            proxy.expect_serving().await?;
            proxies.push(proxy);
        }
        ensure!(proxies.len() == PROXIES, "plans are of other proxies");
        let mut this = Self {
            disk: Disk::of(control_plane.state_file()),
            footprint: Footprint::of(&control_plane).await?,
            control_plane,
            proxies,
            members,
            clock,
            handed: Handed::default(),
            written: vec![Roster::new(first)?],
            epoch: 0,
        };
        this.agree().await?;
        this.footprint = Footprint::of(&this.control_plane).await?;
        this.expect_clock()?;
        for proxy in &mut this.proxies {
            proxy.end(&this.handed.all, &this.members).await?;
        }
        Ok(this)
    }

    /// Lets all that happen, makes it good, and expects all to agree again.
    pub(crate) async fn episode(&mut self, steps: Vec<(Step, Duration)>) -> Result<Outcome> {
        let start = Instant::now();
        self.handed.agreed();
        for proxy in &mut self.proxies {
            proxy.begin().await?;
        }
        for (step, pause) in steps {
            let what = format!("{step:?}");
            self.take(step).await.context(what)?;
            tokio::time::sleep(pause).await;
            self.handed.ask(&self.control_plane).await;
            for proxy in &mut self.proxies {
                proxy.look().await?;
            }
        }
        self.heal().await?;
        let assignment = self.agree().await?;
        self.handed.expect_written(&self.written)?;
        let (mut calls, mut ended) = (0, 0);
        for proxy in &mut self.proxies {
            calls += proxy.end(&self.handed.all, &self.members).await?;
            proxy.expect_agreed(&assignment).await?;
            ended += proxy.expect_need(start, &self.handed.all)?;
        }
        self.expect_members_agree(&assignment).await?;
        for member in &self.members {
            member.forget_past();
        }
        let proxies = self.proxies.len();
        let same = self.footprint.expect_same(&self.control_plane, proxies);
        let now = same.await?;
        let (assignments, unknown) = self.handed.counts();
        Ok(Outcome {
            calls,
            ended,
            assignments,
            unknown,
            at_first: self.footprint.clone(),
            now,
        })
    }

    async fn take(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Edit(members) => {
                let entry = |(member, weight): (usize, u32)| self.members[member].entry(weight);
                let entries: Vec<_> = members.into_iter().map(entry).collect();
                self.written.push(Roster::new(entries.clone())?);
                self.control_plane.edit(entries)
            }
            Step::Garbage(garbage) => self.spoil(garbage),
            Step::KillControlPlane(away, left) => self.kill_control_plane(away, left).await,
            Step::KillProxy(proxy) => self.proxies[proxy].kill().await,
            Step::Network(proxy, passage) => self.proxies[proxy].link.set(passage).await,
            Step::DiskRefuses => self.disk.refuse().await,
            Step::DiskIsBack(left) => self.disk.allow(left),
            Step::Clock(seconds) => self.clock.set(seconds),
        }
    }

    fn spoil(&self, garbage: Garbage) -> Result<()> {
        let file = self.control_plane.members();
        match garbage {
            Garbage::Half => {
                let roster = Roster::new(self.control_plane.entries().to_vec())?;
                file.replace(&roster)?;
                let text = fs::read_to_string(file.path())?;
                let (half, _) = text.rsplit_once(':').context("no member")?;
                let (half, _) = half.rsplit_once(':').context("no address")?;
                file.overwrite_text(half)
            }
            Garbage::Empty => file.overwrite_text(""),
            Garbage::Nonsense => file.overwrite_text("members: [{ id: a, address: nowhere }]\n"),
            Garbage::Gone => match fs::remove_file(file.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
        }
    }

    async fn kill_control_plane(&mut self, away: Duration, left: Left) -> Result<()> {
        self.handed.ask(&self.control_plane).await;
        let log = self.control_plane.last_words().await?;
        self.handed.read(&log);
        tokio::time::sleep(away).await;
        let refuses = self.disk.refuses();
        self.disk.allow(left)?;
        self.handed.restart(&self.control_plane.state_file());
        self.control_plane.restart().await?;
        if refuses {
            self.disk.refuse().await?;
        }
        Ok(())
    }

    /// Ends what fails, and gives the registry what it was given last.
    async fn heal(&mut self) -> Result<()> {
        for proxy in &self.proxies {
            proxy.link.set(Passage::Open).await?;
        }
        self.disk.allow(Left::Older)?;
        let last = self.control_plane.entries().to_vec();
        self.control_plane.edit(last)?;
        for proxy in &mut self.proxies {
            proxy.expect_serving().await?;
        }
        Ok(())
    }

    /// Waits until everybody has the roster that was written last, and no
    /// stream is misplaced.
    async fn agree(&mut self) -> Result<Assignment> {
        let roster = Roster::new(self.control_plane.entries().to_vec())?;
        let (epoch, assignment) = eventually("agreed", async || {
            let status = self.control_plane.status().await?;
            let mut published = self.control_plane.published().await?;
            let (epoch, assignment) = published.pop_last().context("nothing")?;
            let unsaved = self.control_plane.metric("yorkies_state_unsaved").await?;
            ensure!(
                *assignment.roster() == roster
                    && status["stage"] == "stable"
                    && status["pending"] == false
                    && unsaved == 0.0,
                "still {unsaved} unsaved, at {status:#}"
            );
            for proxy in &self.proxies {
                expect_current(&status, proxy.envoy.name(), epoch)?;
            }
            Ok((epoch, assignment))
        })
        .await?;
        self.handed.ask(&self.control_plane).await;
        ensure!(epoch >= self.epoch, "epoch {epoch} after {}", self.epoch);
        self.epoch = epoch;
        Ok(assignment)
    }

    /// Fails if the control plane does not go by the clock that it was given.
    fn expect_clock(&self) -> Result<()> {
        let right = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let ahead = Duration::from_millis(self.epoch).saturating_sub(right);
        ensure!(
            ahead > AHEAD / 2,
            "the clock of the control plane is {ahead:?} ahead"
        );
        Ok(())
    }

    /// Waits until no member has a stream that belongs to another.
    async fn expect_members_agree(&self, assignment: &Assignment) -> Result<()> {
        eventually("agreed by members", async || {
            let mut open = 0;
            for member in &self.members {
                let me = member.entry(1).address;
                for stream in member.arrivals() {
                    if stream.is_stream && stream.ended.is_none() {
                        let owner = assignment.owner(stream.key.as_bytes());
                        let owner = owner.context("no owner")?.member;
                        ensure!(owner.address == me, "{} has {stream:?}", owner.id);
                        open += 1;
                    }
                }
            }
            let all = STREAMS * self.proxies.len();
            ensure!(open == all, "members have {open} of {all} streams");
            Ok(())
        })
        .await
    }
}

/// Fails unless that proxy, and each of its workers, has the newest, and reports
/// all of its streams and none that is misplaced.
fn expect_current(status: &Value, name: &str, epoch: u64) -> Result<()> {
    let proxies = status["proxies"].as_array().into_iter().flatten();
    let mut named = proxies.filter(|proxy| proxy["node"] == name);
    let proxy = named.next().with_context(|| format!("no {name}"))?;
    let all = |name: &str| {
        proxy[name]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    let (streams, vms) = (all("streams"), all("vms"));
    let open: u64 = vms.iter().filter_map(|vm| vm["open"].as_u64()).sum();
    ensure!(
        streams.len() == 1
            && streams.iter().all(|stream| stream["current"] == true)
            && vms
                .iter()
                .all(|vm| vm["epoch"] == epoch && vm["misplaced"] == 0)
            && open == STREAMS as u64,
        "not at epoch {epoch}: {proxy:#}"
    );
    Ok(())
}
