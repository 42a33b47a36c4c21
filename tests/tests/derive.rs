//! The right key for every request: whatever the call, the protocol and the
//! place of the key, the same document has the same owner.
//!
//! The cases are made from the rules, so a new rule is tested without new code.

use anyhow::{Context, Result, ensure};
use http::Method;
use sharding::{
    API_KEY, FieldPath, KeyRule, KeySource, PathPattern, ProjectSource, Resource, SHARD_KEY,
    ShardKey, yorkie_rules,
};
use yorkies_tests::{
    Member, Mode, Request, Router, Rpc, Settings, TestEnvironment, equal_weights, eventually,
};

const PROJECT: &str = "abcdefghij0123456789AB";
const PROJECT_NAME: &str = "notes";
const PROJECT_ID: &str = "65a1b2c3d4e5f60718293a4b";
const SECRET_KEY: &str = "secret-key";
const CLUSTER_SECRET: &str = "cluster-secret";

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

/// Where a request says its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Body,
    Both,
}

/// One way to name a key in the message of one call.
#[derive(Debug)]
struct Case {
    rule: KeyRule,
    path: String,
    field: FieldPath,
    resource: Resource,
}

/// Every call of Yorkie whose message names a key, in every way it can.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for rule in yorkie_rules() {
        let PathPattern::Exact(path) = rule.path.clone() else {
            continue;
        };
        for source in &rule.keys {
            let (field, resource) = match source {
                KeySource::Document(field) => (field, Resource::Document),
                KeySource::Channel(field) => (field, Resource::Channel),
                KeySource::Client(field) => (field, Resource::Client),
                _ => continue,
            };
            cases.push(Case {
                rule: rule.clone(),
                path: path.clone(),
                field: field.clone(),
                resource,
            });
        }
    }
    cases
}

impl Case {
    /// A name that tells the kinds apart: only channels are cut at a dot, and
    /// only client keys have blanks and letters beyond ASCII.
    fn name(&self) -> &'static str {
        match self.resource {
            Resource::Document => "notes.v2-draft",
            Resource::Channel => "room.lobby.desk",
            Resource::Client => "Zoë's tablet",
        }
    }

    /// Where its key can be. Of the calls that are about documents or channels
    /// the header alone does not tell which; their message always does.
    fn places(&self) -> Vec<Place> {
        let all = [Place::Header, Place::Body, Place::Both];
        let told = |place: &Place| *place != Place::Header || !self.rule.is_ambiguous();
        all.into_iter().filter(told).collect()
    }

    fn canonical(&self) -> Result<ShardKey> {
        Ok(ShardKey::from_halves(PROJECT, self.name(), self.resource)?)
    }

    fn request(&self, rpc: Rpc, place: Place) -> Result<Request> {
        let mut fields = Vec::new();
        let mut headers = Vec::new();
        if place != Place::Header {
            fields.push((&self.field, self.name()));
        }
        if place != Place::Body {
            headers.push((SHARD_KEY, format!("{PROJECT}/{}", self.name())));
        }
        match self.rule.projects.first() {
            None => headers.push((API_KEY, PROJECT.to_owned())),
            Some(ProjectSource::PublicKey(field)) => fields.push((field, PROJECT)),
            Some(ProjectSource::Name(field)) => fields.push((field, PROJECT_NAME)),
            Some(ProjectSource::Id(field)) => fields.push((field, PROJECT_ID)),
            Some(_) => headers.push(("authorization", format!("API-Key {SECRET_KEY}"))),
        }
        if self.rule.internal {
            headers.push(("x-cluster-secret", CLUSTER_SECRET.to_owned()));
        }
        let call = rpc.call(&self.path, self.rule.kind, &fields)?;
        headers
            .into_iter()
            .try_fold(call, |call, (name, value)| call.header(name, value))
    }
}

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
        let cases = cases();
        ensure!(cases.len() > 30, "only {} cases", cases.len());
        for case in &cases {
            let key = case.canonical()?;
            let owner = expected.owner(key.as_str().as_bytes());
            let owner = owner.context("no member")?.member;
            for rpc in Rpc::ALL {
                for place in case.places() {
                    let request = case.request(rpc, place)?;
                    for client in [&router.h2c, &router.http1] {
                        let reply = client.send(&request).await?;
                        let answer = reply.answer().with_context(|| {
                            format!("{} by {rpc:?} with its key in {place:?}", case.path)
                        })?;
                        ensure!(
                            answer.key()? == key.as_str() && answer.member == owner.id,
                            "{} by {rpc:?} with its key in {place:?}: expected {key} at {}, not {answer:?}",
                            case.path,
                            owner.id,
                        );
                    }
                }
            }
        }
        Ok(())
    });
}

#[test]
fn clients_with_and_without_a_project_meet_in_the_default_one() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        let push_pull = "/yorkie.v1.YorkieService/PushPullChanges";
        let field = "change_pack=3.document_key=1".parse()?;
        let call =
            Rpc::ConnectJson.call(push_pull, sharding::Kind::Unary, &[(&field, "note-1")])?;
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
        let case = &cases()[2];
        for rpc in Rpc::ALL {
            let request = case.request(rpc, Place::Body)?;
            let reply = router.h2c.send_in_pieces(&request, 3).await?;
            let answer = reply.answer()?;
            ensure!(
                answer.key()? == case.canonical()?.as_str(),
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
        let case = &cases()[2];
        for place in [Place::Header, Place::Body] {
            let request = case.request(Rpc::ConnectJson, place)?;
            router.h2c.send(&request).await?.answer()?;
        }
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
