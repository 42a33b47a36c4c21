//! What upgrades cost: of a `Deployment`, whose pods get new names, and of a
//! `StatefulSet`, whose pods keep theirs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use sharding::{Assignment, Member as Entry, Policy};
use yorkies_tests::{
    KubernetesApi, Member, Mode, Protocol, TestEnvironment, Traffic, assignment, equal_weights,
    expect_owners, keys, settled,
};

use crate::scene::{Phase, pod, slice_of, start};

pub(crate) const DEPLOYMENT: &str = include_str!("recorded/deployment.json");
pub(crate) const SURGE: &str = include_str!("recorded/deployment-surge.jsonl");

const KEYS: usize = 1_000;
const TRAFFIC: usize = 100;

/// So many that a share of them is true to a thousandth.
const MANY: usize = 65_537;

#[test]
fn a_surge_upgrade_of_a_deployment_moves_keys_with_every_pod_and_loses_no_request() {
    TestEnvironment::run(async |env| {
        let members = env.members(6).await?;
        let (old, new) = members.split_at(3);
        let api = KubernetesApi::start(env.folder()).await?;
        for member in old {
            api.put(&pod(member))?;
        }
        let control_plane = start(env, &api).await?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let h2c = envoy.client(Protocol::H2c).await?;
        let mut epoch = settled(&[&h2c], 0).await?;
        let traffic = Traffic::start(h2c.clone(), keys(TRAFFIC));
        for (leaves, comes) in old.iter().zip(new) {
            let comes = comes.entry(1);
            api.put(&slice_of(&comes.id, "u", comes.address, Phase::Starting))?;
            api.put(&slice_of(&comes.id, "u", comes.address, Phase::Ready))?;
            epoch = settled(&[&h2c], epoch).await?;
            let leaves = leaves.entry(1);
            let uid = format!("first-{}", leaves.id);
            api.put(&slice_of(
                &leaves.id,
                &uid,
                leaves.address,
                Phase::Terminating,
            ))?;
            epoch = settled(&[&h2c], epoch).await?;
            api.delete(&format!("slice-of-{}", leaves.id))?;
        }
        let report = traffic.stop().await?;
        ensure!(
            report.failures.is_empty() && report.answered > 0,
            "{report:?}"
        );
        let expected = assignment(Policy::default(), equal_weights(new))?;
        expect_owners(&h2c, &expected, &keys(KEYS)).await?;

        let published: Vec<_> = control_plane.published().await?.into_values().collect();
        let moved = Moved::over(&published)?;
        println!("a surge upgrade of 3 pods: {moved:?}");
        ensure!(published.len() == 7, "{} assignments", published.len());
        ensure!((1.4..1.7).contains(&moved.times), "{moved:?}");
        ensure!(Member::requests(&old[0]) > 0, "nobody asked");
        Ok(())
    });
}

#[test]
fn a_recorded_surge_upgrade_is_six_rebalances_to_new_names() {
    TestEnvironment::run(async |env| {
        let api = KubernetesApi::start(env.folder()).await?;
        api.load(DEPLOYMENT)?;
        let control_plane = start(env, &api).await?;
        let old = |left: usize| {
            let old = [
                "4hxkq=10.244.1.21",
                "9pl2z=10.244.2.22",
                "tmwv8=10.244.3.23",
            ];
            old[3 - left..]
                .iter()
                .map(|pod| format!("yorkie-6d5f8c7b9d-{pod}:8080*1"))
                .collect::<Vec<_>>()
        };
        let new = |there: usize| {
            let new = [
                "c8rjn=10.244.1.31",
                "k5nqs=10.244.2.32",
                "xv7dg=10.244.3.33",
            ];
            new[..there]
                .iter()
                .map(|pod| format!("yorkie-75c9bd4f6f-{pod}:8080*1"))
                .collect::<Vec<_>>()
        };
        control_plane.wait_for_members(&old(3)).await?;
        // Starting, ready, another one terminating, gone, and a bookmark: five events for each.
        let events: Vec<_> = SURGE.lines().collect();
        for (number, five) in events.chunks(5).enumerate() {
            api.play(&five[..2].join("\n"))?;
            let both = [old(3 - number), new(number + 1)].concat();
            control_plane.wait_for_members(&both).await?;
            api.play(&five[2..].join("\n"))?;
            let fewer = [old(2 - number), new(number + 1)].concat();
            control_plane.wait_for_members(&fewer).await?;
        }
        let count = control_plane.published().await?.len();
        ensure!(count == 7, "{count} assignments");
        Ok(())
    });
}

#[test]
fn what_upgrades_cost_is_as_it_is_told() -> Result<()> {
    let told = std::fs::read_to_string(yorkies_tests::workspace().join("docs/operations.md"))?;
    let mut missing = Vec::new();
    for pods in [3, 10] {
        let names = |kind: &str| {
            (0..pods)
                .map(|pod| format!("{kind}-{pod}"))
                .collect::<Vec<_>>()
        };
        let surge = Moved::over(&steps(&names("old"), &names("new"))?)?;
        let in_place = Moved::over(&steps_in_place(&names("yorkie"))?)?;
        println!("{pods} pods: surge {surge:?}, in place {in_place:?}");
        ensure!(in_place.elsewhere == 0.0, "keys have moved for good");
        for (kind, moved) in [("Deployment", &surge), ("StatefulSet", &in_place)] {
            let row = format!(
                "| {kind}, {pods} pods | {} | {:.2} | {:.0} % | {:.1} % |",
                moved.rebalances,
                moved.times,
                100.0 * moved.elsewhere,
                100.0 * moved.stale,
            );
            if !told.contains(&row) {
                missing.push(row);
            }
        }
    }
    ensure!(
        missing.is_empty(),
        "docs/operations.md does not say\n{}",
        missing.join("\n")
    );
    Ok(())
}

/// What becomes of keys over several assignments.
#[derive(Debug, Default, PartialEq)]
struct Moved {
    rebalances: usize,
    /// How often a key moves, on average.
    times: f64,
    /// Share of the keys that end up elsewhere than where they began.
    elsewhere: f64,
    /// Share of the keys that come back to a server which had them before and
    /// has run since: what it has cached of them is stale.
    stale: f64,
}

impl Moved {
    fn over(assignments: &[Assignment]) -> Result<Self> {
        let (mut times, mut elsewhere, mut stale) = (0, 0, 0);
        let all = keys(MANY);
        for key in &all {
            let owners = assignments.iter().map(|assignment| {
                let owner = assignment.owner(key.as_bytes()).context("no member")?;
                Ok((owner.member.id.clone(), owner.member.incarnation.clone()))
            });
            let owners = owners.collect::<Result<Vec<_>>>()?;
            times += owners
                .windows(2)
                .filter(|pair| pair[0].0 != pair[1].0)
                .count();
            elsewhere +=
                usize::from(owners.first().map(|(id, _)| id) != owners.last().map(|(id, _)| id));
            let mut last = BTreeMap::new();
            let comes_back =
                |(at, owner)| last.insert(owner, at).is_some_and(|before| before + 1 < at);
            stale += usize::from(owners.iter().enumerate().any(comes_back));
        }
        let share = |count: usize| count as f64 / all.len() as f64;
        Ok(Self {
            rebalances: assignments.len() - 1,
            times: share(times),
            elsewhere: share(elsewhere),
            stale: share(stale),
        })
    }
}

/// One more, then one less, until all are new.
fn steps(old: &[String], new: &[String]) -> Result<Vec<Assignment>> {
    let mut there: Vec<_> = old.iter().map(|id| (id.clone(), 0)).collect();
    let mut steps = vec![of(&there)?];
    for (leaves, comes) in old.iter().zip(new) {
        there.push((comes.clone(), 0));
        steps.push(of(&there)?);
        there.retain(|(id, _)| id != leaves);
        steps.push(of(&there)?);
    }
    Ok(steps)
}

/// The last first, as a `StatefulSet` does it: each goes and comes back.
fn steps_in_place(names: &[String]) -> Result<Vec<Assignment>> {
    let mut there: Vec<_> = names.iter().map(|id| (id.clone(), 0)).collect();
    let mut steps = vec![of(&there)?];
    for name in names.iter().rev() {
        there.retain(|(id, _)| id != name);
        steps.push(of(&there)?);
        there.push((name.clone(), 1));
        steps.push(of(&there)?);
    }
    Ok(steps)
}

fn of(there: &[(String, u32)]) -> Result<Assignment> {
    let entry = |(number, (id, run)): (usize, &(String, u32))| Entry {
        incarnation: Some(format!("{id} {run}")),
        ..Entry::new(id, ([10, 0, 0, 1], number as u16 + 1).into(), 1)
    };
    assignment(
        Policy::default(),
        there.iter().enumerate().map(entry).collect(),
    )
}
