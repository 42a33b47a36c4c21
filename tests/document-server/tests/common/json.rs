//! A client that writes Connect JSON by hand and does one thing at a time.

use bytes::Bytes;
use document_server::client::{Client, Editor, Watch};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::PATIENCE;

pub(crate) type Http = legacy::Client<HttpConnector, Full<Bytes>>;

/// A plain HTTP client, of one version.
pub(crate) fn http(h2: bool) -> Http {
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(h2)
        .build_http()
}

/// Sends one request and gives its status, headers and JSON body.
pub(crate) async fn send(request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, Value) {
    let response = tokio::time::timeout(PATIENCE, http(false).request(request)).await;
    let (parts, body) = response.expect("in time").expect("answered").into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let value =
        serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    (parts.status, parts.headers, value)
}

/// Calls a method, of `YorkieService` unless it names another service.
pub(crate) async fn call(url: &str, method: &str, message: Value) -> Result<Value, Value> {
    let path = if method.contains('/') {
        method.to_owned()
    } else {
        format!("yorkie.v1.YorkieService/{method}")
    };
    let request = Request::post(format!("{url}/{path}"))
        .header("content-type", "application/json")
        .body(Full::from(message.to_string()))
        .expect("a valid request");
    let (status, headers, body) = send(request).await;
    assert!(headers.contains_key("x-served-by"), "{method}: {headers:?}");
    if status == StatusCode::OK {
        Ok(body)
    } else {
        Err(body)
    }
}

/// Yorkie's own code in a Connect error.
pub(crate) fn reason(error: &Value) -> &str {
    error["details"][0]["debug"]["metadata"]["code"]
        .as_str()
        .unwrap_or_default()
}

/// Activates a client and attaches a document, which must succeed.
pub(crate) async fn attach(url: &str, name: &str, document_key: &str) -> Editor {
    let client = Client::new(url, "");
    let attached = Editor::attach(client, name, document_key).await;
    attached.expect("attached")
}

/// An editor that goes now here, now there.
pub(crate) trait SyncAt {
    /// Syncs with the server at that URL; what was pulled, or the refusal.
    async fn sync_at(&mut self, url: &str, edits: &[&str]) -> Result<Vec<String>, Value>;
}

impl SyncAt for Editor {
    async fn sync_at(&mut self, url: &str, edits: &[&str]) -> Result<Vec<String>, Value> {
        self.client = self.client.through(url);
        let synced = tokio::time::timeout(PATIENCE, self.sync(edits)).await;
        match synced.expect("in time") {
            Ok((pulled, _)) => Ok(pulled),
            Err(error) => Err(error.refusal().expect("an answer").clone()),
        }
    }
}

/// Watches an editor's document at the server of that URL.
pub(crate) async fn watch(url: &str, editor: &Editor) -> Watch {
    let mut there = editor.clone();
    there.client = there.client.through(url);
    Watch::document(&there).await.expect("watched")
}

/// Watches any resource; gives the first message too.
pub(crate) async fn open_watch(url: &str, client_id: &str, resource: Value) -> (Watch, Value) {
    let client = Client::new(url, "");
    let opened = Watch::open(&client, client_id, "", &resource).await;
    opened.expect("watched")
}

/// The next message, or the end of the stream.
pub(crate) async fn next(watch: &mut Watch) -> Value {
    let message = tokio::time::timeout(PATIENCE, watch.next()).await;
    message
        .expect("in time")
        .expect("an end of the stream first")
}

/// The next event of a document: its type and publisher.
pub(crate) async fn event(watch: &mut Watch) -> (String, String) {
    let message = next(watch).await;
    let event = &message["event"]["docEvent"]["event"];
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    (text("type"), text("publisher"))
}
