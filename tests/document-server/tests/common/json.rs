//! A client that writes Connect JSON by hand and does one thing at a time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::PATIENCE;

pub(crate) type Http = Client<HttpConnector, Full<Bytes>>;

/// A plain HTTP client, of one version.
pub(crate) fn http(h2: bool) -> Http {
    Client::builder(TokioExecutor::new())
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

/// Calls a method of `YorkieService`.
pub(crate) async fn call(url: &str, method: &str, message: Value) -> Result<Value, Value> {
    let path = if method.contains('/') {
        method.to_owned()
    } else {
        yorkie(method)
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

fn yorkie(method: &str) -> String {
    format!("yorkie.v1.YorkieService/{method}")
}

/// Yorkie's own code in a Connect error.
pub(crate) fn reason(error: &Value) -> &str {
    error["details"][0]["debug"]["metadata"]["code"]
        .as_str()
        .unwrap_or_default()
}

/// A client with a document, as an SDK keeps it.
pub(crate) struct Editor {
    pub(crate) id: String,
    pub(crate) document_id: String,
    document_key: String,
    pub(crate) client_seq: u32,
    pub(crate) server_seq: i64,
}

impl Editor {
    /// Activates a client and attaches a document, which must succeed.
    pub(crate) async fn attach(url: &str, name: &str, document_key: &str) -> Self {
        let activated = call(url, "ActivateClient", json!({"clientKey": name})).await;
        let id = activated.expect("activated")["clientId"]
            .as_str()
            .expect("an id")
            .to_owned();
        let mut editor = Self {
            id,
            document_id: String::new(),
            document_key: document_key.to_owned(),
            client_seq: 0,
            server_seq: 0,
        };
        let request = json!({"clientId": editor.id, "changePack": editor.pack(&[])});
        let attached = call(url, "AttachDocument", request)
            .await
            .expect("attached");
        attached["documentId"]
            .as_str()
            .expect("an id")
            .clone_into(&mut editor.document_id);
        editor.take(&attached);
        editor
    }

    /// Pushes `edits`, each a change of its own, and pulls; gives what was
    /// pulled: the texts of the edits of others.
    pub(crate) async fn sync(&mut self, url: &str, edits: &[&str]) -> Result<Vec<String>, Value> {
        let request = json!({
            "clientId": self.id,
            "documentId": self.document_id,
            "changePack": self.pack(edits),
        });
        let answer = call(url, "PushPullChanges", request).await?;
        self.take(&answer);
        Ok(texts(&answer["changePack"]["changes"]))
    }

    fn pack(&self, edits: &[&str]) -> Value {
        let changes = edits.iter().zip(self.client_seq + 1..);
        let changes: Vec<Value> = changes.map(|(text, seq)| self.change(text, seq)).collect();
        json!({
            "documentKey": self.document_key,
            "checkpoint": {
                "serverSeq": self.server_seq.to_string(),
                "clientSeq": self.client_seq,
            },
            "changes": changes,
            "versionVector": {"vector": {}},
        })
    }

    fn change(&self, text: &str, client_seq: u32) -> Value {
        let actor = STANDARD.encode(
            (0..12)
                .map(|at| u8::from_str_radix(&self.id[2 * at..2 * at + 2], 16).expect("hex"))
                .collect::<Vec<_>>(),
        );
        let root = json!({"lamport": "0", "actorId": STANDARD.encode([0; 12])});
        let time = json!({"lamport": client_seq.to_string(), "delimiter": 1, "actorId": actor});
        json!({
            "id": {"clientSeq": client_seq, "lamport": client_seq.to_string(), "actorId": actor},
            "message": text,
            "operations": [{"set": {
                "parentCreatedAt": root,
                "key": text,
                "value": {"createdAt": time, "type": "VALUE_TYPE_NULL"},
                "executedAt": time,
            }}],
        })
    }

    fn take(&mut self, answer: &Value) {
        let reached = &answer["changePack"]["checkpoint"];
        let number = |value: &Value| value.as_str().map_or(Some(0), |text| text.parse().ok());
        self.server_seq = number(&reached["serverSeq"]).expect("a number");
        let client_seq = reached["clientSeq"].as_u64().unwrap_or(0);
        self.client_seq = u32::try_from(client_seq).expect("small");
    }
}

/// The texts of edits.
pub(crate) fn texts(changes: &Value) -> Vec<String> {
    let changes = changes.as_array().cloned().unwrap_or_default();
    let text = |change: &Value| {
        change["operations"][0]["set"]["key"]
            .as_str()
            .map(str::to_owned)
    };
    changes.iter().filter_map(text).collect()
}

/// A watch stream over Connect JSON.
pub(crate) struct Watch {
    body: Incoming,
    buffer: BytesMut,
}

impl Watch {
    /// Watches a document; the stream has begun when this returns.
    pub(crate) async fn document(url: &str, editor: &Editor) -> Self {
        let document = json!({"document": {"documentId": editor.document_id}});
        let (watch, first) = Self::open(url, &editor.id, document).await;
        let init = &first["initialization"]["resourceInits"][0]["documentInit"];
        assert_eq!(init["documentId"], editor.document_id, "{first}");
        watch
    }

    /// Watches a resource; gives the first message too.
    pub(crate) async fn open(url: &str, client_id: &str, resource: Value) -> (Self, Value) {
        let message = json!({"clientId": client_id, "resources": [resource]}).to_string();
        let request = Request::post(format!("{url}/{}", yorkie("Watch")))
            .header("content-type", "application/connect+json")
            .body(Full::from(document_server::protocol::envelope::wrap(
                0,
                message.as_bytes(),
            )))
            .expect("a valid request");
        let response = http(false).request(request).await.expect("answered");
        assert_eq!(response.status(), StatusCode::OK);
        let mut watch = Self {
            body: response.into_body(),
            buffer: BytesMut::new(),
        };
        let first = watch.next().await;
        (watch, first)
    }

    /// The next message, or the end of the stream.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some(length) = self.buffer.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().expect("four")) as usize;
                if self.buffer.len() >= 5 + length {
                    let message = self.buffer.split_to(5 + length);
                    return serde_json::from_slice(&message[5..]).expect("JSON");
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame.expect("in time").expect("an end of the stream first");
            let data = frame.expect("unbroken").into_data().expect("no trailers");
            self.buffer.extend_from_slice(&data);
        }
    }

    /// The next event of a document: its type and publisher.
    pub(crate) async fn event(&mut self) -> (String, String) {
        let message = self.next().await;
        let event = &message["event"]["docEvent"]["event"];
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("type"), text("publisher"))
    }
}
