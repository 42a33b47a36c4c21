//! The control: one document on two instances at once. Everything that a router
//! is there to prevent has to happen here, or the other tests prove nothing.

mod common;

use common::json::{SyncAt, attach, call, event, reason, watch};
use common::{Process, eventually};
use document_server::client::texts;
use document_server::sdk::two_clients;
use serde_json::{Value, json};

const DOCUMENT: &str = "shared-document";

struct Pair {
    store: Process,
    a: Process,
    b: Process,
}

impl Pair {
    fn start() -> Self {
        let store = Process::store();
        let a = Process::serve("yorkie-a", &store, &[]);
        let b = Process::serve("yorkie-b", &store, &[]);
        Self { store, a, b }
    }

    /// What the store holds as a document's changes, read by an instance that
    /// has never seen the document.
    async fn stored(&self) -> Vec<String> {
        let fresh = Process::serve("yorkie-fresh", &self.store, &[]);
        let request = json!({"documentKey": DOCUMENT});
        let listed = call(&fresh.url(), "yorkie.v1.AdminService/ListChanges", request).await;
        texts(&listed.expect("listed")["changes"])
    }
}

#[tokio::test]
async fn one_instance_keeps_every_acknowledged_edit() {
    let pair = Pair::start();
    let url = pair.a.url();
    let mut one = attach(&url, "client-one", DOCUMENT).await;
    let mut two = attach(&url, "client-two", DOCUMENT).await;
    one.sync_at(&url, &["one-1"]).await.expect("acknowledged");
    assert_eq!(
        two.sync_at(&url, &["two-1", "two-2"])
            .await
            .expect("acknowledged"),
        ["one-1"]
    );
    assert_eq!(
        one.sync_at(&url, &["one-2"]).await.expect("acknowledged"),
        ["two-1", "two-2"]
    );
    assert_eq!(pair.stored().await, ["one-1", "two-1", "two-2", "one-2"]);
}

#[tokio::test]
async fn two_owners_overwrite_an_acknowledged_edit_and_refuse_the_other() {
    let pair = Pair::start();
    let (a, b) = (pair.a.url(), pair.b.url());
    let mut one = attach(&a, "client-one", DOCUMENT).await;
    let mut two = attach(&b, "client-two", DOCUMENT).await;

    one.sync_at(&a, &["one-1"]).await.expect("acknowledged");
    assert_eq!(pair.stored().await, ["one-1"]);
    let refused = two.sync_at(&b, &["two-1"]).await.expect_err("too late");
    assert_eq!(refused["code"], "failed_precondition");
    assert_eq!(reason(&refused), "ErrConflictOnUpdate");

    // Refused, and yet it took the place of what had been acknowledged.
    assert_eq!(pair.stored().await, ["two-1"]);
}

#[tokio::test]
async fn two_owners_hide_edits_from_each_other() {
    let pair = Pair::start();
    let (a, b) = (pair.a.url(), pair.b.url());
    let mut one = attach(&a, "client-one", DOCUMENT).await;
    let mut two = attach(&b, "client-two", DOCUMENT).await;
    one.sync_at(&a, &["one-1"]).await.expect("acknowledged");

    let nothing: [&str; 0] = [];
    assert_eq!(
        two.sync_at(&b, &[])
            .await
            .expect("answered from a stale cache"),
        nothing
    );
    assert_eq!(
        two.sync_at(&b, &[]).await.expect("and stays stale"),
        nothing
    );
    // The same client, asking the instance that knows.
    assert_eq!(two.sync_at(&a, &[]).await.expect("answered"), ["one-1"]);
}

#[tokio::test]
async fn an_instance_that_gets_a_document_back_refuses_its_clients() {
    let pair = Pair::start();
    let (a, b) = (pair.a.url(), pair.b.url());
    let mut one = attach(&a, "client-one", DOCUMENT).await;
    one.sync_at(&a, &["first"]).await.expect("acknowledged");
    one.sync_at(&b, &["second"])
        .await
        .expect("the new owner had nothing cached");

    let refused = one
        .sync_at(&a, &["third"])
        .await
        .expect_err("stale client cache");
    assert_eq!(refused["code"], "invalid_argument");
    assert_eq!(reason(&refused), "ErrInvalidClientSeq");

    let pulled = one
        .sync_at(&a, &[])
        .await
        .expect_err("stale document cache");
    assert_eq!(pulled["code"], "invalid_argument");
    assert_eq!(reason(&pulled), "ErrInvalidServerSeq");
}

#[tokio::test]
async fn a_client_attached_elsewhere_is_not_attached_in_a_stale_cache() {
    let pair = Pair::start();
    let (a, b) = (pair.a.url(), pair.b.url());
    let mut one = attach(&a, "client-one", DOCUMENT).await;
    // The second instance caches the client as it is now.
    one.sync_at(&b, &[]).await.expect("read from the store");
    let request = json!({
        "clientId": one.id,
        "changePack": {"documentKey": "other-document", "checkpoint": {}},
    });
    let attached = call(&a, "AttachDocument", request).await.expect("attached");
    one.document_id = attached["documentId"].as_str().expect("an id").to_owned();

    let refused = one
        .sync_at(&b, &[])
        .await
        .expect_err("the cache knows of one document only");
    assert_eq!(refused["code"], "failed_precondition");
    assert_eq!(reason(&refused), "ErrDocumentNotAttached");
}

#[tokio::test]
async fn watchers_on_another_instance_hear_nothing() {
    let pair = Pair::start();
    let (a, b) = (pair.a.url(), pair.b.url());
    let mut one = attach(&a, "client-one", DOCUMENT).await;
    let two = attach(&b, "client-two", DOCUMENT).await;
    let three = attach(&b, "client-three", DOCUMENT).await;
    let mut near = watch(&a, &two).await;
    let mut far = watch(&b, &two).await;

    one.sync_at(&a, &["one-1"]).await.expect("acknowledged");
    let changed = event(&mut near).await;
    assert_eq!(
        changed,
        (String::new(), one.id.clone()),
        "on the same instance it is told"
    );

    // What is told on the other instance afterwards is the first thing it tells.
    let _third = watch(&b, &three).await;
    let watched = (
        "DOC_EVENT_TYPE_DOCUMENT_WATCHED".to_owned(),
        three.id.clone(),
    );
    assert_eq!(event(&mut far).await, watched);
}

#[tokio::test]
async fn real_clients_on_two_instances_lose_edits() {
    let pair = Pair::start();
    let (a, b) = (pair.a.url(), pair.b.url());
    let arguments = ["--url", &a, "--url2", &b, "--document", DOCUMENT];
    let run = two_clients(&[&arguments[..], &["--edits", "2", "--timeout", "1000"]].concat())
        .await
        .expect("a run");

    assert!(!run.success, "two owners went unnoticed");
    let result = run.result().expect("a result");
    let lost = result["lost"].as_array().expect("a list").clone();
    assert!(!lost.is_empty(), "{result}");
    eventually("an instance refused a push", async || {
        let refused = |process: &Process| {
            let codes = process
                .events("request")
                .into_iter()
                .map(|line| line["code"].clone());
            codes
                .filter(|code| *code == json!("failed_precondition"))
                .count()
        };
        refused(&pair.a) + refused(&pair.b) > 0
    })
    .await;
    let served: Vec<&Value> = run
        .events("rpc")
        .iter()
        .map(|call| &call["served_by"])
        .collect();
    assert!(served.contains(&&json!("yorkie-a")) && served.contains(&&json!("yorkie-b")));
}
