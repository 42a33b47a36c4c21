//! Predicted owner = the server that answers, for every key, whatever the
//! policy, the members and their weights.

use anyhow::{Context, Result, ensure};
use sharding::{Member as Entry, Policy};
use yorkies_tests::{
    Member, Mode, Protocol, Router, Settings, TestEnvironment, Traffic, assignment, keys,
};

/// Enough that a single wrong slot of the smallest share would show.
const KEYS: usize = 10_000;

/// Where the next change must come soon.
const FEW_KEYS: usize = 200;

/// Where only the spelling of the policy differs.
const FEWER_KEYS: usize = 2_000;

/// Keys in each round of requests that go on meanwhile.
const TRAFFIC: usize = 50;

#[test]
fn maglev_owners_are_as_predicted_whatever_happens_to_the_roster() {
    follow_the_roster("maglev:65537", Mode::Delta);
}

#[test]
fn ring_hash_owners_are_as_predicted_whatever_happens_to_the_roster() {
    follow_the_roster("ring_hash:1024:8388608", Mode::Sotw);
}

#[test]
fn sizes_and_hash_functions_of_a_policy_are_predicted_too() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let entries: Vec<_> = weighted(&members, |number| number + 1);
        for policy in [
            "maglev:251",
            "ring_hash:64:100",
            "ring_hash:512:1024:murmur2",
        ] {
            let settings = settings(policy)?;
            let router = Router::start(env, settings, Mode::Delta, entries.clone()).await?;
            let checked = router.expect_owners(&keys(FEWER_KEYS)).await;
            checked.with_context(|| policy.to_owned())?;
        }
        Ok(())
    });
}

#[test]
fn either_policy_is_predicted_in_either_mode() {
    TestEnvironment::run(async |env| {
        let members = env.members(5).await?;
        let entries = |count: usize| weighted(&members[..count], |number| number * 2 + 1);
        // The other two pairs go through every change above.
        for (policy, mode) in [
            ("maglev:65537", Mode::Sotw),
            ("ring_hash:1024:8388608", Mode::Delta),
        ] {
            let checked = async {
                let mut router = Router::start(env, settings(policy)?, mode, entries(3)).await?;
                router.expect_owners(&keys(FEWER_KEYS)).await?;
                router.change(entries(5)).await?;
                router.expect_owners(&keys(FEWER_KEYS)).await
            };
            checked.await.with_context(|| policy.to_owned())?;
        }
        Ok(())
    });
}

#[test]
fn another_policy_or_table_size_is_followed_while_requests_go_on() {
    for mode in Mode::ALL {
        TestEnvironment::run(async |env| {
            let members = env.members(4).await?;
            let entries = weighted(&members, |number| number + 1);
            let settings = settings("maglev:65537")?;
            let mut router = Router::start(env, settings, mode, entries).await?;
            for policy in [
                "maglev:251",
                "ring_hash:512:1024",
                "ring_hash:64:100:murmur2",
                "maglev:65537",
            ] {
                let traffic = Traffic::start(router.http1.clone(), keys(TRAFFIC));
                let checked = async {
                    router.change_policy(policy.parse()?).await?;
                    router.expect_owners(&keys(FEWER_KEYS)).await?;
                    let report = traffic.stop().await?;
                    ensure!(report.failures.is_empty(), "requests lost: {report:?}");
                    // A worker has the new table a moment before the new epoch, never after it.
                    let new = format!("{:?}", router.epoch().to_string());
                    let mut misrouted = report.misrouted.iter();
                    let wrong = misrouted.find(|request| request.contains(&new));
                    ensure!(wrong.is_none(), "the new epoch, the old table: {wrong:?}");
                    Ok(())
                };
                let checked: Result<()> = checked.await;
                checked.with_context(|| format!("{policy} in {}", mode.name()))?;
            }
            Ok(())
        });
    }
}

#[test]
fn members_without_a_name_are_known_by_their_address() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let addresses = members.iter().map(|member| member.entry(1).address);
        let lines = addresses
            .clone()
            .map(|address| format!("- address: {address}\n"));
        let control_plane = env.control_plane(Settings::default()).await?;
        let text = format!("members:\n{}", lines.collect::<String>());
        control_plane.members().replace_text(&text)?;
        let envoy = env.envoy(&control_plane, Mode::Delta).await?;
        let client = envoy.client(Protocol::H2c).await?;
        let entries = addresses.map(|address| Entry::new(address.to_string(), address, 1));
        let expected = assignment(Policy::default(), entries.collect())?;
        for key in keys(300) {
            let answer = client.ask(&key).await?;
            let owner = expected.owner(key.as_bytes()).context("no member")?.member;
            ensure!(
                answer.owner()? == owner.id && answer.address == owner.address,
                "{key}: predicted {owner:?}, answered by {answer:?}"
            );
        }
        Ok(())
    });
}

fn follow_the_roster(policy: &str, mode: Mode) {
    TestEnvironment::run(async |env| {
        let members = env.members(20).await?;
        let replacement = env.member("yorkie-3").await?;
        let equal = |count: usize| weighted(&members[..count], |_| 1);
        let unequal = |count: usize| weighted(&members[..count], |number| number % 4 * 3 + 2);
        let keys = keys(KEYS);

        let mut router = Router::start(env, settings(policy)?, mode, equal(1)).await?;
        let checked = router.expect_owners(&keys).await;
        checked.context("one member")?;
        for count in [1, 2, 3] {
            let checked = async {
                router.change(unequal(count)).await?;
                router.expect_owners(&keys[..FEWER_KEYS]).await
            };
            let checked = checked.await;
            checked.with_context(|| format!("{count} members of unequal weights"))?;
        }

        let mut removed = unequal(5);
        removed.remove(1);
        let mut heavier = removed.clone();
        heavier[0].weight += 20;
        let mut replaced = heavier.clone();
        // Ids 0, 2, 3, 4 are left.
        replaced[2] = replacement.entry(replaced[2].weight);
        for (change, entries) in [
            ("two members", equal(2)),
            ("three members", equal(3)),
            ("five members", equal(5)),
            ("twenty members", equal(20)),
            ("twenty members of unequal weights", unequal(20)),
            ("five members of unequal weights", unequal(5)),
            ("a member removed", removed),
            ("a weight raised", heavier),
            ("an address replaced under the same id", replaced),
        ] {
            let checked = async {
                router.change(entries).await?;
                router.expect_owners(&keys).await
            };
            checked.await.with_context(|| change.to_owned())?;
        }

        // Changes in quick succession: none is held back for, or merged with, the next.
        let mut entries = router.expected()?.roster().members().to_vec();
        for weight in [1, 30, 2, 40] {
            entries[1].weight = weight;
            router.change(entries.clone()).await?;
            let checked = router.expect_owners(&keys[..FEW_KEYS]).await;
            checked.with_context(|| format!("weight {weight} soon after another"))?;
        }

        // A server that was replaced gets nothing more, though it still serves.
        let requests = members[3].requests();
        router.expect_owners(&keys[..FEWER_KEYS]).await?;
        ensure!(
            members[3].requests() == requests,
            "the old address still gets requests"
        );
        Ok(())
    });
}

fn settings(policy: &str) -> Result<Settings> {
    Ok(Settings {
        policy: policy.parse()?,
        ..Settings::default()
    })
}

fn weighted(members: &[Member], weight: impl Fn(u32) -> u32) -> Vec<Entry> {
    (0..)
        .zip(members)
        .map(|(number, member)| member.entry(weight(number)))
        .collect()
}
