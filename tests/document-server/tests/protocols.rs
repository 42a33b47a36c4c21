//! Every protocol, codec and HTTP version: what works, and what is refused how.

mod common;

use bytes::Bytes;
use common::dialect::{
    CONNECT_JSON, CONNECT_PROTO, Failure, GRPC, GRPC_JSON, Stream, WEB, WEB_JSON, dialects,
};
use common::json::http;
use common::{PATIENCE, Process, eventually};
use document_server::api;
use document_server::protocol::codec::Codec;
use document_server::protocol::content::Protocol;
use document_server::protocol::envelope;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use serde_json::Value;

fn empty_pack(key: &str) -> api::ChangePack {
    api::ChangePack {
        document_key: key.to_owned(),
        checkpoint: Some(api::Checkpoint::default()),
        ..api::ChangePack::default()
    }
}

fn watch_request(client_id: &str, document_id: &str) -> api::WatchRequest {
    let document = api::DocumentDescriptor {
        document_id: document_id.to_owned(),
    };
    let resource = Some(api::resource_descriptor::Resource::Document(document));
    api::WatchRequest {
        client_id: client_id.to_owned(),
        resources: vec![api::ResourceDescriptor { resource }],
    }
}

#[tokio::test]
async fn every_dialect_activates_attaches_and_watches() {
    let store = Process::store();
    let instance = Process::serve("yorkie-0", &store, &[]);
    let url = instance.url();
    for dialect in dialects() {
        let name = dialect.stream;
        let request = api::ActivateClientRequest {
            client_key: "someone".to_owned(),
            ..Default::default()
        };
        let activated: api::ActivateClientResponse = dialect
            .unary(&url, "ActivateClient", request)
            .await
            .expect(name);
        let client_id = activated.client_id;
        let request = api::AttachDocumentRequest {
            client_id: client_id.clone(),
            change_pack: Some(empty_pack("one-document")),
            ..Default::default()
        };
        let attached: api::AttachDocumentResponse = dialect
            .unary(&url, "AttachDocument", request)
            .await
            .expect(name);

        let request = watch_request(&client_id, &attached.document_id);
        let mut watch = dialect.watch(&url, &request).await;
        let api::watch_response::Body::Initialization(init) = watch.watch_response().await else {
            panic!("{name}: an event came first");
        };
        assert_eq!(init.resource_inits.len(), 1, "{name}");

        // Somebody else joins; the stream tells of it.
        let other: api::ActivateClientResponse = dialect
            .unary(
                &url,
                "ActivateClient",
                api::ActivateClientRequest {
                    client_key: "other".to_owned(),
                    ..Default::default()
                },
            )
            .await
            .expect(name);
        let request = watch_request(&other.client_id, &attached.document_id);
        let _other = dialect.watch(&url, &request).await;
        loop {
            let api::watch_response::Body::Event(event) = watch.watch_response().await else {
                panic!("{name}: no event");
            };
            let Some(api::watch_event::Event::DocEvent(event)) = event.event else {
                panic!("{name}: no document event");
            };
            // The watchers of the dialect before may still be leaving.
            if event.event.expect("an event").publisher == other.client_id {
                break;
            }
        }
    }
    eventually("every stream is logged", async || {
        instance.events("stream_open").len() == 24
    })
    .await;
    for protocol in ["connect", "grpc", "grpc-web"] {
        instance
            .line("stream_open", |line| line["protocol"] == protocol)
            .await;
    }
}

#[tokio::test]
async fn every_dialect_gets_errors_in_its_own_form() {
    let store = Process::store();
    let instance = Process::serve("yorkie-0", &store, &[]);
    let url = instance.url();
    let failure = |code: &str| Failure {
        code: code.to_owned(),
        reason: true,
    };
    for dialect in dialects() {
        let name = dialect.unary;
        let refused: Result<api::ActivateClientResponse, _> = dialect
            .unary(
                &url,
                "ActivateClient",
                api::ActivateClientRequest::default(),
            )
            .await;
        assert_eq!(refused, Err(failure("invalid_argument")), "{name}");

        let request = watch_request("000102030405060708090a0b", "000102030405060708090a0b");
        let mut watch = dialect.watch(&url, &request).await;
        assert_eq!(watch.next().await, Err(failure("not_found")), "{name}");
    }
}

async fn post(
    url: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::post(format!("{url}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(body)).expect("a valid request");
    let answered = tokio::time::timeout(PATIENCE, http(false).request(request)).await;
    let (parts, body) = answered.expect("in time").expect("answered").into_parts();
    (
        parts.status,
        parts.headers,
        body.collect().await.expect("whole").to_bytes(),
    )
}

const ACTIVATE: &str = "/yorkie.v1.YorkieService/ActivateClient";

#[tokio::test]
async fn requests_that_are_no_calls_get_plain_refusals() {
    let store = Process::store();
    let instance = Process::serve("yorkie-0", &store, &[]);
    let url = instance.url();
    let json = [("content-type", "application/json")];
    let post = async |path: &str, headers: &[(&str, &str)]| {
        let (status, headers, _) = post(&url, path, headers, b"{}".to_vec()).await;
        assert_eq!(headers["x-served-by"], "yorkie-0");
        (status.as_u16(), headers)
    };
    assert_eq!(post("/", &json).await.0, 404);
    assert_eq!(post("/yorkie.v1.YorkieService/Nope", &json).await.0, 404);
    assert_eq!(post("/yorkie.v2.YorkieService/Watch", &json).await.0, 404);

    let (status, headers) = post(ACTIVATE, &[("content-type", "text/plain")]).await;
    assert_eq!(status, 415);
    assert!(
        headers["accept-post"]
            .to_str()
            .expect("text")
            .contains("application/json")
    );
    assert_eq!(post(ACTIVATE, &[]).await.0, 415);
    assert_eq!(post("/yorkie.v1.YorkieService/Watch", &json).await.0, 415);

    let request = Request::get(format!("{url}{ACTIVATE}"))
        .body(Full::default())
        .expect("valid");
    let response = http(false).request(request).await.expect("answered");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "POST");
}

#[tokio::test]
async fn connect_checks_version_timeout_and_encoding() {
    let store = Process::store();
    let instance = Process::serve("yorkie-0", &store, &[]);
    let url = instance.url();
    let refused = async |name: &str, value: &str, body: &[u8]| {
        let headers = [("content-type", "application/json"), (name, value)];
        let (status, _, body) = post(&url, ACTIVATE, &headers, body.to_vec()).await;
        let error: Value = serde_json::from_slice(&body).expect("a Connect error");
        (
            status.as_u16(),
            error["code"].as_str().expect("a code").to_owned(),
        )
    };
    let invalid = (400, "invalid_argument".to_owned());
    assert_eq!(
        refused("connect-protocol-version", "2", b"{}").await,
        invalid
    );
    assert_eq!(refused("connect-timeout-ms", "soon", b"{}").await, invalid);
    assert_eq!(refused("content-encoding", "gzip", b"{}").await, invalid);
    assert_eq!(
        refused("content-encoding", "br", b"{}").await,
        (501, "unimplemented".to_owned())
    );

    // The body of `{"clientKey":"zipped"}`, compressed.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, br#"{"clientKey":"zipped"}"#).expect("in memory");
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    let body = gzip.finish().expect("in memory");
    let (status, _, _) = post(&url, ACTIVATE, &headers, body).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_time_limit_ends_a_stream() {
    let store = Process::store();
    let instance = Process::serve("yorkie-0", &store, &[]);
    let url = instance.url();
    let editor = common::json::attach(&url, "someone", "one-document").await;
    let request = watch_request(&editor.id, &editor.document_id);
    let request = Request::post(format!("{url}/yorkie.v1.YorkieService/Watch"))
        .header("content-type", "application/connect+proto")
        .header("connect-timeout-ms", "50")
        .body(Full::from(envelope::wrap(0, &request.encode_to_vec())))
        .expect("a valid request");
    let response = http(false).request(request).await.expect("answered");
    let mut watch = Stream::new(response, Codec::Proto, Protocol::ConnectStream);
    watch.watch_response().await;
    let ended = watch.next().await.expect_err("in time");
    assert_eq!(ended.code, "deadline_exceeded");
}

#[tokio::test]
async fn garbage_is_answered_and_survived() {
    let store = Process::store();
    let instance = Process::serve("yorkie-0", &store, &[]);
    let url = instance.url();
    let bodies: [&[u8]; 8] = [
        b"",
        b"\0",
        b"{\"clientKey\":",
        b"\0\0\0\0\x05hell",
        b"\xff\xff\xff\xff\xff",
        b"\x01\0\0\0\x02zz",
        b"\0\0\0\0\x02\x0a\xff",
        &[b'['; 4096],
    ];
    let types = [CONNECT_JSON, CONNECT_PROTO, GRPC, GRPC_JSON, WEB, WEB_JSON];
    for (unary, stream) in types {
        for (method, content_type) in [("AttachDocument", unary), ("Watch", stream)] {
            for body in bodies {
                let path = format!("/yorkie.v1.YorkieService/{method}");
                let headers = [("content-type", content_type)];
                let (status, headers, answer) = post(&url, &path, &headers, body.to_vec()).await;
                let code = status.as_u16();
                assert!(
                    code < 500 || code == 501,
                    "{content_type} {body:?}: {status}"
                );
                let silent = answer.is_empty() && !headers.contains_key("grpc-status");
                assert!(!silent, "{content_type} {body:?}: no error");
            }
        }
    }
    let accepted = |line: &Value| line["code"] == "ok";
    assert!(!instance.events("request").iter().any(accepted));
}
