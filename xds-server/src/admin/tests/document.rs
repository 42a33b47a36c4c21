//! `openapi.yaml` says what the server does: the same paths and methods,
//! and every status that it names was got, with a body of its schema.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod cases;

use super::scene::{Reply, Scene};
use crate::admin::routes::routes;
use crate::api::{HeldLease, LEASES_PATH, PLAN_PATH, RELEASE_PATH, RENEW_PATH};
use crate::rebalance::Proposal;
use cases::{Case, FRESH, LEASES, ORDERS, SERVED, UNREADABLE, WITHOUT_TOKEN, get, held};

type Operation = (String, String);

const GUARDED: &str = "admin: {token_file: token}";
const TOKEN: &str = "0123456789abcdef";

/// The document, whose schemas refer to each other.
struct Document(Value);

impl Document {
    fn read() -> Self {
        Self(serde_saphyr::from_str(include_str!("../../../openapi.yaml")).unwrap())
    }

    fn operations(&self) -> impl Iterator<Item = (Operation, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, operations)| {
            let operations = operations.as_object().unwrap();
            let of = |method: &String| (method.to_uppercase(), path.clone());
            operations
                .iter()
                .map(move |(method, operation)| (of(method), operation))
        })
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    fn responses(&self, path: &str, method: &str) -> &serde_json::Map<String, Value> {
        let operation = &self.0["paths"][path][method.to_lowercase()];
        operation["responses"].as_object().unwrap()
    }

    /// What a value of that schema may not be.
    fn problems(&self, schema: &Value, value: &Value) -> Vec<String> {
        let whole = json!({ "allOf": [schema], "components": self.0["components"] });
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        let problems = validator.iter_errors(value);
        problems
            .map(|problem| format!("{}: {problem}", problem.instance_path()))
            .collect()
    }

    fn check(&self, path: &str, method: &str, reply: &Reply) {
        let status = reply.status.as_str();
        let responses = self.responses(path, method);
        let response = responses.get(status);
        let response = response.unwrap_or_else(|| panic!("{method} {path} may not be {status}"));
        let content = self.resolved(response)["content"].as_object().unwrap();
        let given = reply.headers[CONTENT_TYPE].to_str().unwrap();
        let (kind, content) = content.iter().next().unwrap();
        assert_eq!(
            given.split(';').next(),
            Some(kind.as_str()),
            "{method} {path}"
        );
        let body = match kind.as_str() {
            "application/json" => serde_json::from_str(&reply.text).unwrap(),
            _ => Value::from(reply.text.as_str()),
        };
        let problems = self.problems(&content["schema"], &body);
        assert!(
            problems.is_empty(),
            "{method} {path} {status}: {problems:#?}\n{body:#}"
        );
    }
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let document = Document::read();
    let described: BTreeSet<_> = document
        .operations()
        .map(|(operation, _)| operation)
        .collect();
    let there = routes().into_iter();
    let there: BTreeSet<_> = there
        .map(|r| (r.method.to_string(), r.path.to_owned()))
        .collect();
    assert_eq!(described, there);
}

#[test]
fn what_needs_the_token_says_so() {
    let document = Document::read();
    for route in routes() {
        let of = &document.0["paths"][route.path][route.method.as_str().to_lowercase()];
        let responses = of["responses"].as_object().unwrap();
        assert_eq!(!of["security"].is_null(), route.changes, "{}", route.path);
        for status in ["401", "403"] {
            assert_eq!(
                responses.contains_key(status),
                route.changes,
                "{}",
                route.path
            );
        }
        // The file with the token may be unusable.
        let may_be_unavailable = responses.contains_key("503");
        assert!(may_be_unavailable || !route.changes, "{}", route.path);
    }
}

async fn ask(scene: &Scene, case: &Case<'_>) -> Reply {
    let request = Request::builder().uri(case.uri);
    let request = match case.message {
        None => request.body(Body::empty()),
        Some(message) => request
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Body::from(message.to_owned())),
    };
    let reply = scene.ask(request.unwrap()).await;
    assert_eq!(reply.status, case.status, "{}: {}", case.uri, reply.text);
    reply
}

#[tokio::test]
async fn every_status_that_is_described_was_got_with_a_body_of_its_schema() {
    let document = Document::read();
    let (fresh, served) = (Scene::fresh(GUARDED), Scene::served(GUARDED).await);
    for scene in [&fresh, &served] {
        scene.set_token(TOKEN);
    }
    let mut got = BTreeSet::new();
    let mut check = |case: &Case<'_>, reply: &Reply| {
        let method = if case.message.is_some() {
            "POST"
        } else {
            "GET"
        };
        document.check(case.path, method, reply);
        got.insert((
            method.to_owned(),
            case.path.to_owned(),
            case.status.to_string(),
        ));
    };
    for case in &FRESH {
        check(case, &ask(&fresh, case).await);
    }
    for case in SERVED.iter().chain([&UNREADABLE]) {
        check(case, &ask(&served, case).await);
    }
    // In the middle of a rebalance there is more to say.
    served.change(&[1, 2, 3]).await;
    for case in SERVED.iter().filter(|case| case.message.is_none()) {
        check(case, &ask(&served, case).await);
    }
    for case in &ORDERS {
        check(case, &ask(&served, case).await);
    }
    let mut of_lease = Vec::new();
    for case in &LEASES {
        let reply = ask(&served, case).await;
        check(case, &reply);
        let said: Value = serde_json::from_str(&reply.text).unwrap();
        of_lease.extend(said["token"].as_u64());
    }
    let messages: Vec<_> = of_lease
        .iter()
        .map(|token| json!({ "id": "m4", "token": token }).to_string())
        .collect();
    for case in &held(&messages[1], &messages[0]) {
        check(case, &ask(&served, case).await);
    }
    served.set_token("");
    for case in &WITHOUT_TOKEN {
        check(case, &ask(&served, case).await);
    }
    let described = document
        .operations()
        .flat_map(|((method, path), operation)| {
            let statuses = operation["responses"].as_object().unwrap().keys();
            statuses.map(move |status| (method.clone(), path.clone(), status.clone()))
        });
    // What needs the token has its own tests.
    let described = described.filter(|(_, _, status)| !["401", "403"].contains(&status.as_str()));
    assert_eq!(described.collect::<BTreeSet<_>>(), got);
}

/// Whether messages to that path are described just as they are understood.
fn are_as_described<T: DeserializeOwned>(cases: &[Case<'_>], path: &str, schema: &str) {
    let document = Document::read();
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    let messages = cases.iter().filter(|case| case.path == path);
    for message in messages.filter_map(|case| case.message) {
        let Ok(value) = serde_json::from_str::<Value>(message) else {
            continue;
        };
        let is_described = document.problems(&schema, &value).is_empty();
        let is_understood = serde_json::from_value::<T>(value).is_ok();
        assert_eq!(is_described, is_understood, "{message}");
    }
}

#[test]
fn messages_are_those_that_are_described() {
    are_as_described::<Proposal>(&SERVED, PLAN_PATH, "Proposal");
    are_as_described::<HeldLease>(&LEASES, RENEW_PATH, "HeldLease");
    are_as_described::<HeldLease>(&LEASES, RELEASE_PATH, "HeldLease");
}

/// What cannot be acquired is described as well, for a member or a time that
/// cannot be.
#[test]
fn a_lease_is_acquired_with_what_is_described_and_nothing_else() {
    let document = Document::read();
    let schema = json!({ "$ref": "#/components/schemas/AcquireLease" });
    for case in LEASES.iter().filter(|case| case.path == LEASES_PATH) {
        let Some(message) = case.message else {
            continue;
        };
        let message = serde_json::from_str(message).unwrap();
        let is_described = document.problems(&schema, &message).is_empty();
        assert_eq!(is_described, case.status == 200, "{message}");
    }
}

#[tokio::test]
async fn a_schema_refuses_what_is_not_of_it() {
    let document = Document::read();
    let schema = json!({ "$ref": "#/components/schemas/Members" });
    let right = json!({ "epoch": 7, "members": [] });
    assert!(document.problems(&schema, &right).is_empty());
    for wrong in [
        json!({ "epoch": "7", "members": [] }),
        json!({ "epoch": 7 }),
        json!({ "epoch": 7, "members": [{}] }),
        json!({ "epoch": 7, "members": [], "more": 1 }),
    ] {
        assert!(!document.problems(&schema, &wrong).is_empty(), "{wrong}");
    }
}

#[tokio::test]
async fn the_states_of_a_proxy_follow_what_it_accepts() {
    let scene = Scene::served("").await;
    let states = async || {
        let reply = ask(&scene, &get("", "/v1/proxies", 200)).await;
        let proxies: Value = serde_json::from_str(&reply.text).unwrap();
        let types = proxies["proxies"][0]["streams"][0]["types"].clone();
        ["cds", "eds", "lds", "rds", "ecds"].map(|kind| types[kind]["state"].to_string())
    };
    let expected = ["synced", "synced", "rejected", "synced", "synced"];
    assert_eq!(states().await, expected.map(|state| format!("{state:?}")));
    scene.change(&[1, 2, 3]).await;
    let config = ask(
        &scene,
        &get("", "/v1/proxies/edge%2F1%20%C3%BC/config", 200),
    )
    .await;
    assert!(
        config.text.contains("\"state\":\"rejected\""),
        "{}",
        config.text
    );
    let config: Value = serde_json::from_str(&config.text).unwrap();
    let resources = config["streams"][0]["resources"].as_array().unwrap();
    let kinds: Vec<_> = resources
        .iter()
        .map(|r| r["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["cds", "eds", "lds", "rds", "ecds", "ecds"]);
    assert!(
        resources
            .iter()
            .all(|resource| resource["body"].is_object())
    );
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_json() {
    let scene = Scene::fresh("");
    let document = Document::read();
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    for (method, uri, status) in [
        ("GET", "/v2", 404),
        ("GET", "/", 404),
        ("PUT", "/v1/status", 405),
    ] {
        let request = Request::builder().method(method).uri(uri);
        let reply = scene.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, status, "{uri}");
        let body = serde_json::from_str(&reply.text).unwrap();
        assert!(document.problems(&problem, &body).is_empty(), "{body}");
    }
}
