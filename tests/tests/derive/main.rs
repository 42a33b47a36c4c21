//! The right key for every request: whatever the call, the protocol and the
//! place of the key, the same document has the same owner.
//!
//! The cases are made from the rules, so a new rule is tested without new code.

mod cases;

use anyhow::{Context, Result, ensure};
use http::Method;
use sharding::{API_KEY, Assignment, SHARD_KEY, yorkie_rules};
use yorkies_tests::{
    Member, Mode, Refusal, Reply, Request, Router, Rpc, Settings, TestEnvironment, equal_weights,
    eventually,
};

use cases::{Case, Expected, Place, attached, by_body, cases};

const PROJECT: &str = "abcdefghij0123456789AB";
const PROJECT_NAME: &str = "notes";
const PROJECT_ID: &str = "65a1b2c3d4e5f60718293a4b";
const SECRET_KEY: &str = "secret-key";
const CLUSTER_SECRET: &str = "cluster-secret";

const ATTACH: &str = "/yorkie.v1.YorkieService/AttachDocument";
const PUSH_PULL: &str = "/yorkie.v1.YorkieService/PushPullChanges";

/// With the hashes of [`SECRET_KEY`] and [`CLUSTER_SECRET`].
const CONFIGURATION: &str = "
default_project: abcdefghij0123456789AB
projects:
- name: notes
  id: 65a1b2c3d4e5f60718293a4b
  public_key: abcdefghij0123456789AB
  secret_key_sha256: 85dbe15d75ef9308c7ae0f33c7a324cc6f4bf519a2ed2f3027bd33c140a4f9aa
cluster_secret_sha256: 2fb6f1c2e31bf7bfd3cc3166e2f55a8a30a1408d1570d3b73d4c68f2baec033c
key_rules:
- path: /v1/projects/{project}/documents/{document}
  resource: document
  keys: [{path: document}]
  projects: [{path: project}]
- path: /v1/search
  resource: document
  keys: [{query: doc}, {header: x-doc}]
";

async fn start(env: &mut TestEnvironment) -> Result<Router> {
    let members = env.members(5).await?;
    start_with(env, &members).await
}

async fn start_with(env: &mut TestEnvironment, members: &[Member]) -> Result<Router> {
    let settings = Settings {
        more: CONFIGURATION,
        ..Settings::default()
    };
    Router::start(env, settings, Mode::Delta, equal_weights(members)).await
}

#[test]
fn every_call_in_every_protocol_reaches_the_owner_wherever_its_key_is() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        let expected = router.expected()?;
        for rpc in Rpc::ALL {
            // From its answer the router learns the id that some calls have in place of a key.
            let attach = by_body(rpc, ATTACH, &attached(rpc))?;
            router.h2c.send(&attach).await?.answer()?;
            let cases = cases(rpc);
            for client in [&router.h2c, &router.http1] {
                let requests: Result<Vec<_>> = cases.iter().map(|case| case.request(rpc)).collect();
                let requests = requests?;
                let replies = client.send_all(requests.clone()).await?;
                for ((case, request), reply) in cases.iter().zip(&requests).zip(replies) {
                    let shown = || format!("{case} by {rpc:?}");
                    let reply = reply.with_context(shown)?;
                    check(case, request, &reply, &expected).with_context(shown)?;
                }
            }
        }
        Ok(())
    });
}

fn check(case: &Case, request: &Request, reply: &Reply, expected: &Assignment) -> Result<()> {
    match &case.expected {
        Expected::Owner(key) => {
            let owner = expected.owner(key.as_bytes()).context("no member")?.member;
            let answer = reply.answer()?;
            ensure!(
                answer.key()? == key && answer.member == owner.id,
                "expected {key} at {}, not {answer:?}",
                owner.id
            );
        }
        Expected::Anywhere => {
            let answer = reply.answer()?;
            ensure!(answer.all(SHARD_KEY).is_empty(), "a key: {answer:?}");
            answer.epoch()?;
        }
        Expected::Refused => {
            let refusal = Refusal::read(reply, request.content_type())?;
            ensure!(
                refusal.code == "invalid_argument" && refusal.message.contains("no shard key"),
                "{refusal:?}"
            );
        }
    }
    Ok(())
}

/// Nothing that a rule says goes untested because nobody made a case of it.
#[test]
fn every_rule_has_cases_for_every_place_of_its_key() {
    let cases = cases(Rpc::Grpc);
    let rules = yorkie_rules();
    assert!(rules.len() > 40, "only {} rules", rules.len());
    for rule in rules {
        let mut seen: Vec<_> = cases
            .iter()
            .filter(|case| case.rule.path == rule.path)
            .map(|case| (case.place, case.source.clone()))
            .collect();
        seen.sort_by_key(|(place, _)| *place);
        seen.dedup();
        let header = [(Place::Header, None)].into_iter();
        let sources = |place| rule.keys.iter().map(move |key| (place, Some(key.clone())));
        let expected: Vec<_> = header
            .chain(sources(Place::Body))
            .chain(sources(Place::Both))
            .chain([(Place::Nowhere, None)])
            .collect();
        assert_eq!(seen, expected, "{}", rule.path);
    }
}

#[test]
fn clients_with_and_without_a_project_meet_in_the_default_one() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        let field = "change_pack=3.document_key=1".parse()?;
        let call =
            Rpc::ConnectJson.call(PUSH_PULL, sharding::Kind::Unary, &[(&field, "note-1")])?;
        let key = format!("{PROJECT}/note-1");
        for request in [
            call.clone(),
            call.clone().header(API_KEY, "")?,
            call.clone().header(SHARD_KEY, "/note-1")?,
            call.clone().header(SHARD_KEY, &key)?,
            call.clone().header(API_KEY, PROJECT)?,
            call.header(API_KEY, PROJECT)?
                .header(SHARD_KEY, "/note-1")?,
        ] {
            let answer = router.h2c.send(&request).await?.answer()?;
            ensure!(answer.key()? == key, "{request:?}: {answer:?}");
        }
        Ok(())
    });
}

#[test]
fn a_body_is_understood_however_it_is_cut_into_frames() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        for rpc in Rpc::ALL {
            let request = by_body(rpc, ATTACH, "note")?;
            let reply = router.h2c.send_in_pieces(&request, 3).await?;
            let answer = reply.answer()?;
            ensure!(
                answer.key()? == format!("{PROJECT}/note"),
                "{rpc:?}: {answer:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn calls_between_servers_need_the_secret_itself() {
    TestEnvironment::run(async |env| {
        let members = env.members(5).await?;
        let router = start_with(env, &members).await?;
        let path = "/yorkie.v1.ClusterService/GetDocument";
        let call = || Rpc::ConnectJson.call(path, sharding::Kind::Unary, &[]);
        for request in [call()?, call()?.header("x-cluster-secret", "a guess")?] {
            let reply = router.h2c.send(&request).await?;
            ensure!(reply.status.is_client_error(), "{reply:?}");
        }
        let known = call()?.header("x-cluster-secret", CLUSTER_SECRET)?;
        router.h2c.send(&known).await?.answer()?;

        // By any path that a server may read as this one.
        let before: u64 = members.iter().map(Member::requests).sum();
        for path in [
            "/yorkie.v1.ClusterService//GetDocument",
            "//yorkie.v1.ClusterService/GetDocument",
            "/yorkie.v1.ClusterService%2FGetDocument",
            "/yorkie.v1.ClusterService%2f%2fGetDocument",
            "/yorkie.v1.ClusterService/%47etDocument",
            "/%79orkie.v1.ClusterService/GetDocument",
            "/mcp/../yorkie.v1.ClusterService/GetDocument",
            "/mcp/%2e%2e/yorkie.v1.ClusterService/GetDocument",
            "/mcp%2F..%2Fyorkie.v1.ClusterService/GetDocument",
            "/mcp/..%5Cyorkie.v1.ClusterService/GetDocument",
        ] {
            let call = Rpc::Grpc.call(path, sharding::Kind::Unary, &[])?;
            let call = call.header(SHARD_KEY, format!("{PROJECT}/note"))?;
            for client in [&router.h2c, &router.http1] {
                let reply = client.send(&call).await?;
                let status = reply.header("grpc-status")?;
                ensure!(status == "7", "{path}: {reply:?}");
            }
        }
        let after: u64 = members.iter().map(Member::requests).sum();
        ensure!(after == before, "a member got such a call");
        Ok(())
    });
}

#[test]
fn a_service_that_is_not_yorkies_is_routed_by_rules_of_its_own() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        let get = |path| Request::new(Method::GET, path);
        for (request, key) in [
            (get("/v1/projects/acme/documents/plan"), "acme/plan"),
            (
                get("/v1/projects/acme/documents/my%20plan?x=y"),
                "acme/my%20plan",
            ),
            (
                get("/v1/projects/acme/documents/plans%2F2030"),
                "acme/plans%2F2030",
            ),
            (
                get("/v1/search?doc=plan").header(API_KEY, "acme")?,
                "acme/plan",
            ),
            (
                get("/v1/search")
                    .header(API_KEY, "acme")?
                    .header("x-doc", "plan")?,
                "acme/plan",
            ),
        ] {
            let answer = router.http1.send(&request).await?.answer()?;
            ensure!(answer.key()? == key, "expected {key}: {answer:?}");
        }
        Ok(())
    });
}

#[test]
fn prometheus_sees_sources_mendings_and_refusals_as_labels() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        let by_body = by_body(Rpc::ConnectJson, PUSH_PULL, "note")?;
        router.h2c.send(&by_body).await?.answer()?;
        router.h2c.ask("project/my note").await?;
        let refused = Request::of_key("no-separator")?;
        ensure!(router.h2c.send(&refused).await?.status.is_client_error());
        eventually("counted", async || {
            let text = router.envoy.admin()?.get("/stats/prometheus").await?;
            for (metric, label) in [
                ("yorkies_requests_source", "source=\"header\""),
                ("yorkies_requests_source", "source=\"body\""),
                ("yorkies_requests_mended", "mended=\"spelling\""),
                ("yorkies_requests_refused", "refused=\"malformed\""),
            ] {
                let is_it = |line: &&str| line.starts_with(metric) && line.contains(label);
                let line = text.lines().find(is_it);
                let line = line.with_context(|| format!("no {metric} with {label}"))?;
                ensure!(!line.ends_with(" 0"), "{line}");
            }
            Ok(())
        })
        .await
    });
}
