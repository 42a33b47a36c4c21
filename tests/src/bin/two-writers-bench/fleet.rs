//! Document servers, all of them new for each rebalance: one that has had a
//! document or a client before would refuse them, whatever the router does.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use document_server::client::texts;
use http::Method;
use serde_json::{Value, json};
use sharding::Member as Entry;
use yorkies_tests::{
    Client, DocumentServer, DocumentStore, Protocol, Request, TestEnvironment, eventually,
};

/// How many serve at once.
const SERVERS: usize = 3;

/// The store and its servers, the last two generations of them.
pub(crate) struct Fleet {
    store: DocumentStore,
    folder: PathBuf,
    started: usize,
    serving: Vec<DocumentServer>,
    retired: Vec<DocumentServer>,
}

impl Fleet {
    pub(crate) async fn start(env: &TestEnvironment) -> Result<Self> {
        let folder = env.folder().to_owned();
        let mut this = Self {
            store: DocumentStore::start(&folder).await?,
            folder,
            started: 0,
            serving: Vec::new(),
            retired: Vec::new(),
        };
        this.next().await?;
        Ok(this)
    }

    /// Starts the next generation. The one before runs on: were it to end, so
    /// would what it has not answered yet.
    pub(crate) async fn next(&mut self) -> Result<Vec<Entry>> {
        ensure!(self.retired.is_empty(), "the one before is still there");
        let mut servers = Vec::new();
        for _ in 0..SERVERS {
            let id = format!("yorkie-{}", self.started);
            self.started += 1;
            servers.push(DocumentServer::start(&self.folder, &id, &self.store).await?);
        }
        self.retired = std::mem::replace(&mut self.serving, servers);
        Ok(self.serving.iter().map(|server| server.entry(1)).collect())
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.serving.iter().map(|server| server.entry(1)).collect()
    }

    /// Ends the generation before, and gives what it has logged.
    pub(crate) fn retire(&mut self) -> Result<Vec<Value>> {
        let mut lines = Vec::new();
        for server in self.retired.drain(..) {
            let output = server.process().output()?;
            let events = output.lines().map(serde_json::from_str);
            lines.extend(events.filter_map(Result::ok));
        }
        Ok(lines)
    }

    /// The same of the last one.
    pub(crate) fn end(&mut self) -> Result<Vec<Value>> {
        self.retired = std::mem::take(&mut self.serving);
        self.retire()
    }

    /// The texts of a document's edits that the store has, by a server that has
    /// cached nothing.
    pub(crate) async fn stored(&self, project: &str, document: &str) -> Result<Vec<String>> {
        let id = format!("fresh-{document}");
        let fresh = DocumentServer::start(&self.folder, &id, &self.store).await?;
        let path = "/yorkie.v1.AdminService/ListChanges";
        let request = Request::new(Method::POST, path)
            .header("content-type", "application/json")?
            .header("x-api-key", project)?
            .body(json!({"documentKey": document}).to_string());
        let client = Client::new(fresh.entry(1).address, Protocol::Http1);
        let reply = eventually("listed", async || {
            let reply = client.send(&request).await?;
            ensure!(reply.status.is_success(), "{}", reply.text());
            Ok(reply)
        })
        .await?;
        let listed: Value = serde_json::from_slice(&reply.body).context("no list of changes")?;
        fs::remove_file(self.folder.join(format!("{id}.log")))?;
        Ok(texts(&listed["changes"]))
    }
}
