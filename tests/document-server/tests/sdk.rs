//! Two clients of the real JS SDK on one document and one instance.

mod common;

use common::{Process, eventually};
use document_server::sdk::two_clients;
use serde_json::Value;

async fn clients_see_each_other(document: &str, more: &[&str], protocol: &str, api_key: &str) {
    let store = Process::store();
    let instance = Process::serve("yorkie-0", &store, &[]);
    let url = instance.url();
    let common = [
        "--url",
        &url,
        "--document",
        document,
        "--edits",
        "4",
        "--api-key",
        api_key,
    ];
    let run = two_clients(&[&common, more].concat()).await.expect("a run");

    let result = run.result().expect("a result");
    assert!(run.success, "{result}");
    assert_eq!(result["documents"]["one"], result["documents"]["two"]);
    let text = result["documents"]["one"].as_str().expect("a document");
    assert!(text.contains("\"count\":8"), "{text}");
    assert_eq!(result["disconnects"]["one"], 0, "{result}");
    assert_eq!(run.events("detached").len(), 2);
    assert_eq!(run.events("deactivated").len(), 2);
    let watched: Vec<_> = run
        .events("peer")
        .into_iter()
        .filter(|peer| peer["type"] == "watched")
        .collect();
    assert!(!watched.is_empty(), "the watch told of the second client");
    for call in run.events("rpc") {
        assert_eq!(call["served_by"], "yorkie-0", "{call}");
    }

    eventually("both streams are closed", async || {
        instance.events("stream_close").len() == 2
    })
    .await;
    for opened in instance.events("stream_open") {
        assert_eq!(opened["protocol"], protocol);
        assert_eq!(opened["document_key"], document);
        assert_eq!(
            opened["x-shard-key"],
            serde_json::json!([format!("{api_key}/{document}")])
        );
    }
    let failed: Vec<Value> = instance
        .events("request")
        .into_iter()
        .filter(|line| line["code"] != "ok")
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[tokio::test]
async fn over_connect() {
    clients_see_each_other("connect-document", &[], "connect", "").await;
}

#[tokio::test]
async fn over_grpc_web() {
    let web = ["--transport", "grpc-web"];
    clients_see_each_other("web-document", &web, "grpc-web", "abcdefghij0123456789AB").await;
}

#[tokio::test]
async fn while_both_edit_at_once() {
    let at_once = ["--concurrent", "--pause", "20"];
    clients_see_each_other("concurrent-document", &at_once, "connect", "").await;
}
