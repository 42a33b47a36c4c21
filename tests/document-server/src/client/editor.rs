//! Edits of one document, as an SDK makes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{CallError, Client};

/// An active client with a document attached.
#[derive(Debug, Clone)]
pub struct Editor {
    /// Through which it calls.
    pub client: Client,
    /// Id of the client.
    pub id: String,
    /// Id of the document.
    pub document_id: String,
    /// Key of the document.
    pub document_key: String,
    /// The last change of this client that is stored.
    pub client_seq: u32,
    /// The last change of the document that this client has seen.
    pub server_seq: i64,
}

impl Editor {
    /// Activates a client of that name and attaches the document.
    ///
    /// # Errors
    /// When either fails.
    pub async fn attach(client: Client, name: &str, document_key: &str) -> Result<Self, CallError> {
        let activate = json!({"clientKey": name});
        let activated = client.call("ActivateClient", name, &activate).await?;
        let mut this = Self {
            client,
            id: text(&activated.message["clientId"]),
            document_id: String::new(),
            document_key: document_key.to_owned(),
            client_seq: 0,
            server_seq: 0,
        };
        let attach = json!({"clientId": this.id, "changePack": this.pack(&[])});
        let attached = this.client.call("AttachDocument", document_key, &attach);
        let attached = attached.await?.message;
        this.document_id = text(&attached["documentId"]);
        this.take(&attached);
        Ok(this)
    }

    /// Pushes `edits`, each a change of its own, and pulls; returns what was
    /// pulled, the texts of the edits of others, and the server that answered.
    ///
    /// # Errors
    /// When it fails: then nothing is known of the edits.
    pub async fn sync(&mut self, edits: &[&str]) -> Result<(Vec<String>, String), CallError> {
        let request = json!({
            "clientId": self.id,
            "documentId": self.document_id,
            "changePack": self.pack(edits),
        });
        let call = self
            .client
            .call("PushPullChanges", &self.document_key, &request);
        let answer = call.await?;
        self.take(&answer.message);
        let pulled = texts(&answer.message["changePack"]["changes"]);
        Ok((pulled, answer.server))
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
        let actor = STANDARD.encode(bytes_of_hex(&self.id));
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
        // JSON leaves zeros out, and has 64-bit numbers as texts.
        self.server_seq = text(&reached["serverSeq"]).parse().unwrap_or_default();
        let client_seq = reached["clientSeq"].as_u64().unwrap_or_default();
        self.client_seq = u32::try_from(client_seq).unwrap_or(u32::MAX);
    }
}

/// The texts of edits in a list of changes.
#[must_use]
pub fn texts(changes: &Value) -> Vec<String> {
    let changes = changes.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |change: &Value| {
        let key = change["operations"][0]["set"]["key"].as_str();
        key.map(str::to_owned)
    };
    changes.iter().filter_map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn bytes_of_hex(id: &str) -> Vec<u8> {
    let digits = id.as_bytes().chunks_exact(2);
    digits
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
