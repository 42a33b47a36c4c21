//! A watch stream over Connect JSON.

use bytes::BytesMut;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{CallError, Client, Editor};
use crate::protocol::envelope;

const PREFIX: usize = 5;

/// An open watch; closed by dropping it.
#[derive(Debug)]
pub struct Watch {
    /// Id of the server that it is on.
    pub server: String,
    body: Incoming,
    buffer: BytesMut,
}

impl Watch {
    /// Watches the document of an editor; the stream has begun when this
    /// returns.
    ///
    /// # Errors
    /// When it is refused, or nothing comes.
    pub async fn document(editor: &Editor) -> Result<Self, CallError> {
        let document = json!({"document": {"documentId": editor.document_id}});
        let (client, key) = (&editor.client, &editor.document_key);
        let (watch, first) = Self::open(client, &editor.id, key, &document).await?;
        let init = &first["initialization"]["resourceInits"][0]["documentInit"];
        if init["documentId"] == editor.document_id {
            Ok(watch)
        } else {
            Err(CallError::Broken(format!("the watch begins with {first}")))
        }
    }

    /// Watches a resource of that key; returns its first message too.
    ///
    /// # Errors
    /// When it is refused, or nothing comes.
    pub async fn open(
        client: &Client,
        client_id: &str,
        key: &str,
        resource: &Value,
    ) -> Result<(Self, Value), CallError> {
        let message = json!({"clientId": client_id, "resources": [resource]}).to_string();
        let request = client
            .request("Watch", key, "application/connect+json")
            .body(Full::from(envelope::wrap(0, message.as_bytes())))
            .map_err(CallError::broken)?;
        let response = client.http.request(request).await;
        let (head, body) = response.map_err(CallError::broken)?.into_parts();
        if head.status != StatusCode::OK {
            let body = body.collect().await.map_err(CallError::broken)?.to_bytes();
            return Err(CallError::Refused {
                status: head.status,
                error: String::from_utf8_lossy(&body).into_owned().into(),
            });
        }
        let server = head.headers.get("x-served-by");
        let server = server.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let mut watch = Self {
            server: server.to_owned(),
            body,
            buffer: BytesMut::new(),
        };
        let first = watch.next().await?;
        Ok((watch, first))
    }

    /// The next message, or the last one of the stream.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn next(&mut self) -> Result<Value, CallError> {
        loop {
            if let Some(message) = self.take() {
                return serde_json::from_slice(&message).map_err(CallError::broken);
            }
            let frame = self.body.frame().await;
            let frame = frame.ok_or_else(|| CallError::broken("the stream is over"))?;
            let frame = frame.map_err(CallError::broken)?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// Takes the next whole message out of what has come.
    fn take(&mut self) -> Option<BytesMut> {
        let length = self.buffer.get(1..PREFIX)?.try_into().ok()?;
        let end = PREFIX + u32::from_be_bytes(length) as usize;
        if self.buffer.len() < end {
            return None;
        }
        let mut message = self.buffer.split_to(end);
        Some(message.split_off(PREFIX))
    }
}
