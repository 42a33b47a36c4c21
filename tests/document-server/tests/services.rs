//! Everything beside documents: channels, projects, health, metrics, the end.

mod common;

use common::json::{SyncAt, attach, call, http, next, open_watch, reason, send, watch};
use common::{Process, eventually};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

struct Server {
    _store: Process,
    process: Process,
    url: String,
}

fn server(more: &[&str]) -> Server {
    let store = Process::store();
    let process = Process::serve("yorkie-0", &store, more);
    let url = process.url();
    Server {
        _store: store,
        process,
        url,
    }
}

async fn get(url: &str) -> Value {
    let request = Request::get(url).body(Full::default()).expect("valid");
    let (status, _, body) = send(request).await;
    assert_eq!(status, StatusCode::OK, "{url}: {body}");
    body
}

async fn activate(url: &str) -> String {
    let activated = call(url, "ActivateClient", json!({"clientKey": "someone"})).await;
    activated.expect("activated")["clientId"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[tokio::test]
async fn echo_tells_who_answered_and_which_shard_headers_came() {
    let Server { url, .. } = &server(&[]);
    for (method, path) in [
        (Method::GET, "/echo"),
        (Method::PUT, "/echo/a/b"),
        (Method::POST, "/auth/login"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("{url}{path}"))
            .header("x-shard-key", "p/d")
            .header("x-shard-key", "q/d")
            .header("x-shard-epoch", "7")
            .body(Full::default())
            .expect("valid");
        let (status, headers, body) = send(request).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["x-served-by"], "yorkie-0");
        let expected = json!({
            "id": "yorkie-0",
            "path": path,
            "x-shard-key": ["p/d", "q/d"],
            "x-shard-epoch": ["7"],
            "x-shard-owner": [],
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn health_is_static() {
    let Server { url, .. } = &server(&[]);
    let path = format!("{url}/yorkie.v1.YorkieService/health");
    assert_eq!(get(&path).await, json!({"status": "serving"}));
    let request = Request::head(&path).body(Full::default()).expect("valid");
    assert_eq!(send(request).await.0, StatusCode::OK);

    let check = "grpc.health.v1.Health/Check";
    assert_eq!(
        call(url, check, json!({})).await,
        Ok(json!({"status": "SERVING"}))
    );
    let unknown = call(url, check, json!({"service": "nope"}))
        .await
        .expect_err("unknown");
    assert_eq!(unknown["code"], "not_found");
}

#[tokio::test]
async fn open_streams_are_listed_and_counted() {
    let Server { process, url, .. } = &server(&["--metrics-listen", "127.0.0.1:0"]);
    let metrics = format!("http://{}/metrics", process.first("metrics"));
    let name = "yorkie_stream_watch_document_stream_connections_total";
    let watches = async |count: usize| {
        let text = get(&metrics).await;
        let text = text.as_str().expect("text").to_owned();
        assert!(text.contains("\nprocess_start_time_seconds 1"), "{text}");
        text.contains(&format!("\n{name} {count}\n"))
    };
    assert!(watches(0).await);

    let editor = attach(url, "someone", "one-document").await;
    let watch = watch(url, &editor).await;
    let listed = get(&format!("{url}/log/streams")).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["document_key"], "one-document");
    assert_eq!(listed[0]["x-shard-epoch"], json!([]));
    assert!(listed[0]["opened_at"]["monotonic_ns"].is_u64());
    assert!(watches(1).await);

    drop(watch);
    eventually("the stream is gone", async || {
        get(&format!("{url}/log/streams")).await == json!([]) && watches(0).await
    })
    .await;
    let closed = process.line("stream_close", |_| true).await;
    assert_eq!(closed["why"], "client_gone");
}

#[tokio::test]
async fn a_stop_ends_streams_with_an_error_and_the_process_well() {
    let Server {
        mut process,
        url,
        _store,
    } = server(&[]);
    let editor = attach(&url, "someone", "one-document").await;
    let mut watch = watch(&url, &editor).await;
    let status = tokio::task::spawn_blocking(move || process.terminate())
        .await
        .expect("ended");
    assert!(status.success(), "{status}");
    assert_eq!(next(&mut watch).await["error"]["code"], "canceled");
}

#[tokio::test]
async fn channels_count_sessions_and_carry_messages() {
    let Server {
        url, _store: store, ..
    } = &server(&[]);
    let (one, two) = (activate(url).await, activate(url).await);
    let key = "room-1.lobby";
    let of = |client: &str| json!({"clientId": client, "channelKey": key});
    let attached = call(url, "AttachChannel", of(&one))
        .await
        .expect("attached");
    assert_eq!(attached["sessionCount"], "1");

    let channel = json!({"channel": {"channelKey": key}});
    let (mut watch, first) = open_watch(url, &one, channel).await;
    let init = &first["initialization"]["resourceInits"][0]["channelInit"];
    assert_eq!(init["sessionCount"], "1", "{first}");
    call(url, "AttachChannel", of(&two))
        .await
        .expect("attached");
    // The session of the first may be announced as well.
    loop {
        let event = next(&mut watch).await["event"]["channelEvent"]["event"].clone();
        assert_eq!(event["type"], "TYPE_PRESENCE");
        if event["sessionCount"] == "2" {
            break;
        }
    }
    let mut message = of(&two);
    message["topic"] = json!("greeting");
    message["payload"] = json!("aGk=");
    call(url, "Broadcast", message).await.expect("sent");
    let event = next(&mut watch).await["event"]["channelEvent"]["event"].clone();
    let expected = json!({
        "type": "TYPE_BROADCAST", "publisher": two, "topic": "greeting", "payload": "aGk=",
    });
    assert_eq!(event, expected);

    let peeked = call(url, "PeekChannel", json!({"channelKey": key}))
        .await
        .expect("peeked");
    assert_eq!(peeked["sessionCount"], "2");
    let mut session = of(&one);
    session["sessionId"] = attached["sessionId"].clone();
    assert_eq!(
        call(url, "RefreshChannel", session.clone())
            .await
            .expect("refreshed")["sessionCount"],
        "2"
    );
    // Another instance knows nothing of this session.
    let other = Process::serve("yorkie-1", store, &[]);
    let refused = call(&other.url(), "RefreshChannel", session.clone())
        .await
        .expect_err("unknown");
    assert_eq!(
        (refused["code"].as_str(), reason(&refused)),
        (Some("not_found"), "ErrSessionNotFound")
    );

    let left = call(url, "DetachChannel", session).await.expect("detached");
    assert_eq!(left["sessionCount"], "1");
    let begun = json!({"channelKey": key, "clientKey": "third"});
    let begun = call(url, "RefreshChannel", begun)
        .await
        .expect("activated and attached");
    assert!(
        begun["clientId"].is_string() && begun["sessionId"].is_string(),
        "{begun}"
    );
}

#[tokio::test]
async fn projects_do_not_share_documents() {
    let Server { url, .. } = &server(&[]);
    let mut default = attach(url, "someone", "one-document").await;
    default.sync_at(url, &["edit"]).await.expect("acknowledged");
    let listed = async |api_key: &str| {
        let request = Request::post(format!("{url}/yorkie.v1.AdminService/ListChanges"))
            .header("content-type", "application/json")
            .header("x-api-key", api_key)
            .body(Full::from(r#"{"documentKey":"one-document"}"#))
            .expect("valid");
        send(request).await.0
    };
    assert_eq!(listed("").await, StatusCode::OK);
    assert_eq!(listed("default").await, StatusCode::OK);
    assert_eq!(
        listed("abcdefghij0123456789AB").await,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn deactivation_detaches_through_the_gateway() {
    let store = Process::store();
    let owner = Process::serve("owner", &store, &[]);
    let gateway = owner.url();
    let other = Process::serve("other", &store, &["--gateway", &gateway]);
    let editor = attach(&owner.url(), "someone", "one-document").await;
    let request = json!({"clientId": editor.id, "synchronous": true});
    call(&other.url(), "DeactivateClient", request.clone())
        .await
        .expect("deactivated");

    let method = "yorkie.v1.ClusterService.DetachDocument";
    let called = owner.line("request", |line| line["method"] == method).await;
    assert_eq!(called["x-shard-key"], json!(["default/one-document"]));
    assert_eq!(called["document_key"], "one-document");

    let again = call(&other.url(), "DeactivateClient", request)
        .await
        .expect_err("not active");
    assert_eq!(reason(&again), "ErrClientNotActivated");
}

#[tokio::test]
async fn a_removed_document_is_said_to_be_removed_and_its_key_is_free() {
    let Server { url, .. } = &server(&[]);
    let editor = attach(url, "someone", "one-document").await;
    let request = json!({
        "clientId": editor.id,
        "documentId": editor.document_id,
        "changePack": {"documentKey": "one-document", "checkpoint": {}, "isRemoved": true},
    });
    let removed = call(url, "RemoveDocument", request).await.expect("removed");
    assert_eq!(removed["changePack"]["isRemoved"], true);
    let next = attach(url, "someone", "one-document").await;
    assert_ne!(next.document_id, editor.document_id);
}

#[tokio::test]
async fn a_push_whose_answer_was_lost_can_be_repeated() {
    let Server { url, .. } = &server(&[]);
    let mut editor = attach(url, "someone", "one-document").await;
    let before = (editor.client_seq, editor.server_seq);
    editor.sync_at(url, &["edit"]).await.expect("acknowledged");
    (editor.client_seq, editor.server_seq) = before;

    let nothing: [&str; 0] = [];
    let pulled = editor.sync_at(url, &["edit"]).await;
    assert_eq!(
        pulled.expect("acknowledged again"),
        nothing,
        "a client has what it pushed"
    );
    assert_eq!(
        (editor.client_seq, editor.server_seq),
        (1, 1),
        "stored once"
    );
}

#[tokio::test]
async fn a_long_history_is_pulled_whole() {
    let Server {
        url, _store: store, ..
    } = &server(&[]);
    let mut editor = attach(url, "someone", "one-document").await;
    let edits: Vec<String> = (0..2500).map(|number| format!("edit-{number}")).collect();
    for some in edits.chunks(500) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        editor.sync_at(url, &some).await.expect("acknowledged");
    }
    // An instance with empty caches reads all of it from the store.
    let fresh = Process::serve("yorkie-1", store, &[]);
    let mut reader = attach(&fresh.url(), "reader", "one-document").await;
    assert_eq!(reader.server_seq, 2500, "attaching pulls everything");
    reader.server_seq = 0;
    assert_eq!(
        reader.sync_at(&fresh.url(), &[]).await.expect("pulled"),
        edits
    );
}

#[tokio::test]
async fn every_method_answers_and_names_who_did() {
    let Server { url, process, .. } = &server(&[]);
    let editor = attach(url, "someone", "one-document").await;
    let document = json!({"clientId": editor.id, "documentId": editor.document_id});
    let code = async |method: &str, message: &Value| match call(url, method, message.clone()).await
    {
        Ok(_) => "ok".to_owned(),
        Err(error) => error["code"].as_str().expect("a code").to_owned(),
    };
    for (method, expected) in [
        ("CreateRevision", "unimplemented"),
        ("ListRevisions", "ok"),
        ("GetRevision", "not_found"),
        ("RestoreRevision", "not_found"),
    ] {
        assert_eq!(code(method, &document).await, expected, "{method}");
    }
    let key = json!({"documentKey": "one-document"});
    for (method, expected) in [
        ("AdminService/ListProjects", "ok"),
        ("AdminService/SignUp", "unimplemented"),
        ("AdminService/LogIn", "unauthenticated"),
        ("AdminService/UpdateDocument", "unimplemented"),
        ("AdminService/CreateDocument", "unimplemented"),
        ("ClusterService/GetDocument", "ok"),
        ("ClusterService/CompactDocument", "ok"),
        ("ClusterService/PurgeDocument", "unimplemented"),
        ("ClusterService/GetChannelCount", "ok"),
        ("ClusterService/InvalidateCache", "ok"),
    ] {
        assert_eq!(
            code(&format!("yorkie.v1.{method}"), &key).await,
            expected,
            "{method}"
        );
    }
    let method = "yorkie.v1.AdminService.UpdateDocument";
    let named = process
        .line("request", |line| line["method"] == method)
        .await;
    assert_eq!(named["document_key"], "one-document");
}

#[tokio::test]
async fn both_http_versions_share_the_port() {
    let Server { url, .. } = &server(&[]);
    for h2 in [false, true] {
        let request = Request::get(format!("{url}/echo"))
            .body(Full::default())
            .expect("valid");
        let response = http(h2).request(request).await.expect("answered");
        assert_eq!(response.version() == http::Version::HTTP_2, h2);
    }
}

#[tokio::test]
async fn an_administrator_learns_the_default_projects_key() {
    let Server { url, .. } = &server(&["--default-public-key", "0123456789abcdefghijkl"]);
    let post = |method: &str, authorization: Option<&str>, message: Value| {
        let mut request = Request::post(format!("{url}/yorkie.v1.AdminService/{method}"))
            .header("content-type", "application/json");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        send(
            request
                .body(Full::from(message.to_string()))
                .expect("valid"),
        )
    };
    let wrong = json!({"username": "admin", "password": "guess"});
    let (status, _, refused) = post("LogIn", None, wrong).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{refused}");
    let right = json!({"username": "admin", "password": "admin"});
    let (_, _, session) = post("LogIn", None, right).await;
    let bearer = format!("Bearer {}", session["token"].as_str().expect("a token"));

    let default = json!({"name": "default"});
    for authorization in [None, Some("Bearer guess"), Some("guess")] {
        let (status, _, refused) = post("GetProject", authorization, default.clone()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{refused}");
    }
    let (_, _, found) = post("GetProject", Some(&bearer), default).await;
    assert_eq!(found["project"]["publicKey"], "0123456789abcdefghijkl");
    let (status, _, _) = post("GetProject", Some(&bearer), json!({"name": "x"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
