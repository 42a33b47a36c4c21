//! One Envoy with open streams, told of one assignment after another.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use sharding::{Assignment, Drain, FilterConfig, Phase, Policy, Roster};
use yorkies_tests::{
    Envoy, Files, Member, Protocol, ReportSink, TestEnvironment, Watch, Watchers, eventually,
    filter_module, keys, settled,
};

use crate::envoy::Reading;

const AT_ONCE: Drain = Drain::Release { window_ms: 0 };

pub(crate) struct Scene {
    files: Files,
    envoy: Envoy,
    reports: ReportSink,
    members: Vec<Member>,
    watchers: Watchers,
    /// How many streams each assignment moves, to and fro.
    moved: usize,
    epoch: u64,
}

impl Scene {
    pub(crate) async fn start(
        env: &mut TestEnvironment,
        members: usize,
        streams: usize,
    ) -> Result<Self> {
        let members = env.members(members).await?;
        let files = Files::new(env.folder(), &filter_module()?)?;
        let reports = ReportSink::start().await?;
        let first = roster(&members, 1)?;
        files.set_members(&first)?;
        files.set_filter(&config(1, &first, AT_ONCE))?;
        let bootstrap = files.bootstrap("envoy-0", reports.address());
        let envoy = env.envoy_of_bootstrap(&bootstrap).await?;
        settled(&[&envoy.client(Protocol::H2c).await?], 0).await?;
        let proxy = envoy.address().await?;
        let wanted = keys(streams).into_iter().map(|key| Watch {
            key,
            proxy,
            protocol: Protocol::H2c,
        });
        let watchers = Watchers::start_over(wanted.collect(), Duration::from_secs(5)).await?;
        let assignment = |roster| Assignment::new(0, Policy::default(), roster);
        let (odd, even) = (assignment(first), assignment(roster(&members, 2)?));
        let moved = watchers.watches().iter().filter(|watch| {
            let key = watch.key.as_bytes();
            let address = |assignment: &Assignment| {
                let owner = assignment.owner(key);
                owner.map(|owner| owner.member.address)
            };
            address(&odd) != address(&even)
        });
        let moved = moved.count();
        Ok(Self {
            moved,
            files,
            envoy,
            reports,
            members,
            watchers,
            epoch: 1,
        })
    }

    pub(crate) fn open(&self) -> usize {
        self.watchers.count(|session| session.ended.is_none())
    }

    /// Hands out the next assignment, and waits until no stream is misplaced and
    /// all are open again. Returns how many moved.
    pub(crate) async fn assign(&mut self) -> Result<usize> {
        self.epoch += 1;
        let roster = roster(&self.members, self.epoch)?;
        let moved = self.moved;
        let ended = self.watchers.count(|session| session.ended.is_some());
        self.reports.clear();
        let admin = self.envoy.admin()?;
        let updates = async || admin.get("/stats?filter=yorkie.update_success").await;
        let known = updates().await?;
        self.files.set_members(&roster)?;
        eventually("updated", async || {
            ensure!(updates().await? != known, "no update of the members");
            Ok(())
        })
        .await?;
        self.files
            .set_filter(&config(self.epoch, &roster, Drain::Hold))?;
        self.reported("held", |phase, _| phase == Phase::Hold)
            .await?;
        self.files
            .set_filter(&config(self.epoch, &roster, AT_ONCE))?;
        self.reported("drained", |phase, misplaced| {
            phase == Phase::Released && misplaced == 0
        })
        .await?;
        eventually("every stream open again", async || {
            let over = self.watchers.count(|session| session.ended.is_some());
            let (open, all) = (self.open(), self.watchers.watches().len());
            ensure!(
                open == all && over - ended == moved,
                "{open} of {all} are open, {} of {moved} have ended",
                over - ended
            );
            Ok(())
        })
        .await?;
        Ok(moved)
    }

    pub(crate) async fn read(&self, rest: Duration) -> Result<Reading> {
        tokio::time::sleep(rest).await;
        let epochs = usize::try_from(self.epoch)?;
        Reading::of(&self.envoy, epochs).await
    }

    /// Waits until both workers have reported that under the present epoch.
    async fn reported(&self, what: &str, is_it: impl Fn(Phase, u64) -> bool) -> Result<()> {
        eventually(what, async || {
            let reports = self.reports.reports();
            let fine = reports.iter().map(|(_, report)| report);
            let fine = fine.filter(|report| {
                report.epoch == self.epoch && is_it(report.phase(), report.misplaced)
            });
            let vms: BTreeSet<_> = fine.map(|report| report.vm).collect();
            ensure!(vms.len() == 2, "{} of 2 workers", vms.len());
            Ok(())
        })
        .await
    }
}

/// All members; the last of them counts twice in every second epoch.
fn roster(members: &[Member], epoch: u64) -> Result<Roster> {
    let last = members.len().saturating_sub(1);
    let weight = |place: usize| {
        if place == last && epoch.is_multiple_of(2) {
            2
        } else {
            1
        }
    };
    let entries = members.iter().enumerate();
    let entries = entries.map(|(place, member)| member.entry(weight(place)));
    Ok(Roster::new(entries.collect())?)
}

fn config(epoch: u64, roster: &Roster, drain: Drain) -> FilterConfig {
    FilterConfig {
        members: Some(roster.clone()),
        drain,
        ..Files::config(epoch)
    }
}
