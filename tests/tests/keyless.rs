//! Requests that need no key of their own: logins, health, a browser's
//! preflights.

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use sharding::{AUTH_SESSION_KEY, Member as Entry, SHARD_KEY};
use yorkies_tests::{
    Client, Member, Mode, Reply, Request, Router, Settings, TestEnvironment, equal_weights,
};

const PUSH_PULL: &str = "/yorkie.v1.YorkieService/PushPullChanges";

/// What Yorkie's SDKs send, each header that a browser asks for.
const YORKIE_HEADERS: &str = "x-api-key,x-shard-key,x-yorkie-user-agent,connect-protocol-version,\
                              connect-timeout-ms,grpc-timeout,x-grpc-web,authorization";

#[test]
fn logins_are_pinned_to_one_member() {
    TestEnvironment::run(async |env| {
        let members = env.members(5).await?;
        let mut router = start(env, equal_weights(&members[..2])).await?;
        for count in [2, 3, 5] {
            if count > 2 {
                router.change(equal_weights(&members[..count])).await?;
            }
            let expected = router.expected()?;
            let owner = expected
                .owner(AUTH_SESSION_KEY.as_bytes())
                .context("no member")?;
            for path in ["/auth/github/login", "/auth/github/callback?code=1"] {
                let bare = Request::new(Method::GET, path);
                let with_key = bare.clone().header(SHARD_KEY, "project/document")?;
                for request in [bare, with_key] {
                    let answer = router.http1.send(&request).await?.answer()?;
                    ensure!(
                        answer.key()? == AUTH_SESSION_KEY && answer.member == owner.member.id,
                        "{path}: expected {owner:?}: {answer:?}"
                    );
                }
            }
        }
        Ok(())
    });
}

#[test]
fn health_is_asked_of_any_member_and_needs_no_key() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let router = start(env, equal_weights(&members)).await?;
        let health = "/yorkie.v1.YorkieService/health";
        let mut answered = Vec::new();
        for _ in 0..50 {
            for (method, path) in [
                (Method::GET, health),
                (Method::POST, "/grpc.health.v1.Health/Check"),
            ] {
                let answer = send(&router.h2c, method, path).await?.answer()?;
                ensure!(
                    answer.all(SHARD_KEY).is_empty(),
                    "a key is made up: {answer:?}"
                );
                answered.push(answer.member);
            }
        }
        answered.sort();
        answered.dedup();
        ensure!(answered.len() > 1, "always asked of {answered:?}");
        let reply = send(&router.http1, Method::HEAD, health).await?;
        ensure!(reply.status == StatusCode::OK, "{reply:?}");
        Ok(())
    });
}

#[test]
fn a_browsers_preflight_is_answered_by_the_router() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let router = start(env, equal_weights(&members)).await?;
        let before = requests(&members);
        let request = Request::new(Method::OPTIONS, PUSH_PULL)
            .header("origin", "https://editor.example")?
            .header("access-control-request-method", "POST")?
            .header("access-control-request-headers", YORKIE_HEADERS)?;
        for client in [&router.h2c, &router.http1] {
            let reply = client.send(&request).await?;
            ensure!(reply.status == StatusCode::OK, "{reply:?}");
            let allowed = reply.header("access-control-allow-headers")?;
            for name in YORKIE_HEADERS.split(',') {
                ensure!(
                    allowed.split(", ").any(|other| other == name),
                    "no {name}: {allowed}"
                );
            }
            let origin = reply.header("access-control-allow-origin")?;
            ensure!(origin == "https://editor.example", "{origin}");
            ensure!(
                reply
                    .header("access-control-allow-methods")?
                    .contains("POST")
            );
        }
        ensure!(requests(&members) == before, "a member got a preflight");

        // The call itself, and even its refusal, is readable for the script.
        let with_key = Request::of_key("project/document")?;
        for request in [with_key, Request::new(Method::GET, "/document")] {
            let request = request.header("origin", "https://editor.example")?;
            let reply = router.http1.send(&request).await?;
            let exposed = reply.header("access-control-expose-headers")?;
            ensure!(exposed.contains("grpc-status-details-bin"), "{exposed}");
        }
        Ok(())
    });
}

async fn start(env: &mut TestEnvironment, entries: Vec<Entry>) -> Result<Router> {
    Router::start(env, Settings::default(), Mode::Delta, entries).await
}

fn requests(members: &[Member]) -> u64 {
    members.iter().map(Member::requests).sum()
}

async fn send(client: &Client, method: Method, path: &str) -> Result<Reply> {
    client.send(&Request::new(method, path)).await
}
