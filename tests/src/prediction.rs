//! Predicted owners against those who answer.

use anyhow::{Context, Result, ensure};
use sharding::{Assignment, Member, Policy, Roster};

use crate::{Answer, Client, Request, eventually};

/// How many wrong answers an error shows.
const SHOWN: usize = 5;

/// That many shard keys, over several projects, all of them canonical.
#[must_use]
pub fn keys(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("project{}/document-{number}", number % 7))
        .collect()
}

/// The entries of these members in a roster, all of the same weight.
#[must_use]
pub fn equal_weights(members: &[crate::Member]) -> Vec<Member> {
    members.iter().map(|member| member.entry(1)).collect()
}

/// What the test expects of those members; its epoch is not known to it.
pub fn assignment(policy: Policy, members: Vec<Member>) -> Result<Assignment> {
    Ok(Assignment::new(0, policy, Roster::new(members)?))
}

/// Waits until every connection of every client is answered under an epoch
/// above `epoch`, and returns the lowest of them. From then on all the workers
/// behind these connections know the new assignment.
pub async fn settled(clients: &[&Client], epoch: u64) -> Result<u64> {
    let request = Request::of_key("project/probe")?;
    eventually("under a new epoch on every connection", async || {
        let mut lowest = u64::MAX;
        for client in clients {
            for reply in client.on_each_connection(&request).await? {
                lowest = lowest.min(reply.answer()?.epoch()?);
            }
        }
        ensure!(lowest > epoch, "a connection is still at epoch {lowest}");
        Ok(lowest)
    })
    .await
}

/// Asks for every key and checks that its owner answers, at the address that
/// the assignment has for it, and that the router knew.
pub async fn expect_owners(client: &Client, expected: &Assignment, keys: &[String]) -> Result<()> {
    expect_all(client, keys, |key, answer| {
        expect_host(expected, key, answer)?;
        ensure!(
            answer.owner()? == answer.member && answer.key()? == key,
            "the member gets {:?}",
            answer.headers
        );
        Ok(())
    })
    .await
}

/// Like [`expect_owners`] for an Envoy without our filter.
pub async fn expect_hosts(client: &Client, expected: &Assignment, keys: &[String]) -> Result<()> {
    expect_all(client, keys, |key, answer| {
        expect_host(expected, key, answer)
    })
    .await
}

async fn expect_all(
    client: &Client,
    keys: &[String],
    check: impl Fn(&str, &Answer) -> Result<()>,
) -> Result<()> {
    let requests: Result<Vec<_>> = keys.iter().map(Request::of_key).collect();
    let replies = client.send_all(requests?).await?;
    let wrong: Vec<_> = keys
        .iter()
        .zip(replies)
        .filter_map(|(key, reply)| {
            let answer = reply.and_then(|reply| reply.answer());
            let error = answer.and_then(|answer| check(key, &answer)).err()?;
            Some(format!("{key}: {error:#}"))
        })
        .collect();
    let (count, all) = (wrong.len(), keys.len());
    let shown = &wrong[..count.min(SHOWN)];
    ensure!(count == 0, "{count} of {all} keys, such as {shown:#?}");
    Ok(())
}

fn expect_host(expected: &Assignment, key: &str, answer: &Answer) -> Result<()> {
    let owner = expected.owner(key.as_bytes()).context("no member")?.member;
    let (id, address) = (&answer.member, answer.address);
    ensure!(
        (id, address) == (&owner.id, owner.address),
        "predicted {} at {}, answered by {id} at {address}",
        owner.id,
        owner.address,
    );
    Ok(())
}
