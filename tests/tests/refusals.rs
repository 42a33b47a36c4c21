//! Garbage gets a clear error and changes nothing; what is only odd is mended.

use std::fs;

use anyhow::{Context, Result, ensure};
use http::Method;
use sharding::{Member as Entry, Roster, SHARD_EPOCH, SHARD_KEY, SHARD_OWNER};
use yorkies_tests::{
    Client, Member, Mode, Refusal, Request, Router, Settings, TestEnvironment, equal_weights, keys,
};

const PUSH_PULL: &str = "/yorkie.v1.YorkieService/PushPullChanges";

#[test]
fn a_bad_edit_is_refused_by_name_and_the_last_good_roster_keeps_routing() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let mut router = start(env, equal_weights(&members[..2])).await?;
        let epoch = router.epoch();
        for (text, parts) in BAD_EDITS {
            router.control_plane.members().replace_text(text)?;
            let mut expected = vec!["ERROR", "members.yaml"];
            expected.extend(parts);
            router.control_plane.logged(&expected).await?;
            router.expect_owners(&keys(100)).await?;
        }
        fs::remove_file(router.control_plane.members().path())?;
        router
            .control_plane
            .logged(&["members.yaml: cannot be read"])
            .await?;
        router.expect_owners(&keys(100)).await?;
        let seen = router.h2c.ask("project/probe").await?.epoch()?;
        ensure!(seen == epoch, "the epoch is {seen} after {epoch}");

        router.change(equal_weights(&members)).await?;
        router.expect_owners(&keys(1_000)).await
    });
}

#[test]
fn edits_in_place_and_replacements_are_both_followed() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let mut router = start(env, equal_weights(&members[..1])).await?;
        for count in [2, 3, 4] {
            let all = equal_weights(&members[..count]);
            let file = router.control_plane.members().clone();
            file.overwrite(&Roster::new(all.clone())?)?;
            router.settle().await?;
            // The same again, as a replacement: from here on it is expected, and nothing changes.
            router.edit(all)?;
            router.expect_owners(&keys(500)).await?;
        }
        Ok(())
    });
}

#[test]
fn a_request_without_a_usable_key_is_refused_in_its_callers_protocol() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let router = start(env, equal_weights(&members)).await?;
        let before = requests(&members);
        for client in [&router.h2c, &router.http1] {
            for content_type in CONTENT_TYPES {
                let bare = Request::new(Method::POST, PUSH_PULL);
                let bare = bare.header("content-type", content_type)?.body("{}");
                expect_refused(client, &bare, content_type).await?;
                for key in ["", "no-separator", "project/", "project/a%00b"] {
                    let request = bare.clone().header(SHARD_KEY, key)?;
                    expect_refused(client, &request, content_type).await?;
                }
            }
            let plain = Request::new(Method::GET, "/document");
            expect_refused(client, &plain, "").await?;
        }
        ensure!(requests(&members) == before, "a member got such a request");
        Ok(())
    });
}

#[test]
fn what_a_client_claims_to_know_of_the_assignment_is_replaced() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let router = start(env, equal_weights(&members)).await?;
        for key in keys(20) {
            let request = Request::of_key(&key)?
                .header(SHARD_EPOCH, "18446744073709551615")?
                .header(SHARD_EPOCH, "1")?
                .header(SHARD_OWNER, "somebody-else")?;
            for client in [&router.h2c, &router.http1] {
                let answer = client.send(&request).await?.answer()?;
                let (epoch, owner) = (answer.epoch()?, answer.owner()?);
                ensure!(
                    epoch == router.epoch() && owner == answer.member,
                    "the member gets epoch {epoch} and owner {owner}"
                );
            }
        }
        // Claims alone do not open a route.
        let request = Request::new(Method::GET, "/document").header(SHARD_EPOCH, "1")?;
        expect_refused(&router.h2c, &request, "").await
    });
}

#[test]
fn equal_keys_are_one_key_and_different_ones_are_refused() {
    TestEnvironment::run(async |env| {
        let members = env.members(5).await?;
        let router = start(env, equal_weights(&members)).await?;
        let expected = router.expected()?;
        for client in [&router.h2c, &router.http1] {
            for (first, second) in [
                ("project/document", "project/document"),
                ("project/document", "project/docum%65nt"),
                ("project/docum%65nt", " project/document "),
            ] {
                let request = Request::of_key(first)?.header(SHARD_KEY, second)?;
                let answer = client.send(&request).await?.answer()?;
                let owner = expected.owner(b"project/document").context("no member")?;
                ensure!(
                    answer.key()? == "project/document" && answer.member == owner.member.id,
                    "{first} and {second}: {answer:?}"
                );
            }
            let request = Request::of_key("project/one")?.header(SHARD_KEY, "project/two")?;
            expect_refused(client, &request, "").await?;
        }
        Ok(())
    });
}

#[test]
fn any_spelling_of_a_key_reaches_the_owner_of_its_canonical_form() {
    TestEnvironment::run(async |env| {
        let members = env.members(5).await?;
        let router = start(env, equal_weights(&members)).await?;
        let expected = router.expected()?;
        let spellings: [(&[u8], &str); 6] = [
            (b"p/caf\xe9", "p/caf%C3%A9"),
            (b"p/caf%c3%a9", "p/caf%C3%A9"),
            (b"p/a/b", "p/a%2Fb"),
            (b"/document", "/document"),
            (b"p / my note", "p/my%20note"),
            (b"p/100%", "p/100%25"),
        ];
        for (spelling, canonical) in spellings {
            for client in [&router.h2c, &router.http1] {
                let answer = client.ask(spelling).await?;
                let owner = expected.owner(canonical.as_bytes()).context("no member")?;
                ensure!(
                    answer.key()? == canonical && answer.member == owner.member.id,
                    "{canonical}: {answer:?}"
                );
            }
        }
        Ok(())
    });
}

const CONTENT_TYPES: [&str; 6] = [
    "application/json",
    "application/proto",
    "application/connect+json",
    "application/connect+proto",
    "application/grpc",
    "application/grpc-web+proto",
];

const BAD_EDITS: [(&str, &[&str]); 8] = [
    ("members: [", &["line 1"]),
    (
        "members:\n- id: a\n",
        &["line 2", "missing field `address`"],
    ),
    (
        "members:\n- address: 127.0.0.1:1\n  wait: 3\n",
        &["line 3", "unknown field `wait`"],
    ),
    (
        "members:\n- address: nowhere\n",
        &["line 2", "address \"nowhere\" is not usable"],
    ),
    (
        "members:\n- {id: a, address: '127.0.0.1:1'}\n- {id: a, address: '127.0.0.1:2'}\n",
        &["line 3", "given twice"],
    ),
    (
        "members:\n- {id: a, address: '127.0.0.1:1'}\n- {id: b, address: '127.0.0.1:1'}\n",
        &["line 3", "given to both"],
    ),
    (
        "members:\n- {id: a, address: '127.0.0.1:1', weight: 0}\n",
        &["line 2", "weight 0"],
    ),
    ("members: []\n", &["lists no members"]),
];

async fn start(env: &mut TestEnvironment, entries: Vec<Entry>) -> Result<Router> {
    Router::start(env, Settings::default(), Mode::Delta, entries).await
}

fn requests(members: &[Member]) -> u64 {
    members.iter().map(Member::requests).sum()
}

/// Expects a refusal that lasts, in the terms of the protocol that the content type stands for.
async fn expect_refused(client: &Client, request: &Request, content_type: &str) -> Result<()> {
    let reply = client.send(request).await?;
    let refusal = Refusal::read(&reply, content_type)?;
    ensure!(
        refusal.code == "invalid_argument" && refusal.message.contains("key"),
        "{content_type}: {request:?}: {refusal:?}"
    );
    Ok(())
}
