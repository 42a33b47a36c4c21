//! The demo's document servers and their store as processes.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use document_server::sdk::page_folders;
use serde_json::Value;

use crate::Process;
use crate::artifacts::document_server_binary;

/// In the router's configuration: the sample page is about no document, so any
/// server will do.
pub const PAGES_RULE: &str = "key_rules:\n- path: /demo/*\n  no_key: any\n";

/// The store that document servers share.
#[derive(Debug)]
pub struct DocumentStore {
    process: Process,
    address: SocketAddr,
}

/// A document server that speaks Yorkie's protocol. Killed on drop.
#[derive(Debug)]
pub struct DocumentServer {
    id: String,
    process: Process,
    address: SocketAddr,
}

impl DocumentStore {
    /// Starts an empty store; its log goes to `folder`.
    pub async fn start(folder: &Path) -> Result<Self> {
        let (process, address) = start(folder, "store", &["store"]).await?;
        Ok(Self { process, address })
    }

    /// Where servers find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl DocumentServer {
    /// Starts a server of that id on the store; its log goes to `folder`.
    pub async fn start(folder: &Path, id: &str, store: &DocumentStore) -> Result<Self> {
        Self::start_with(folder, id, store, &[""; 0]).await
    }

    /// Like [`DocumentServer::start`]; the server has the sample page too, for
    /// which the router needs [`PAGES_RULE`].
    pub async fn start_with_pages(folder: &Path, id: &str, store: &DocumentStore) -> Result<Self> {
        let folders = page_folders().await?;
        let more: Vec<_> = folders
            .iter()
            .flat_map(|folder| [OsStr::new("--pages"), folder.as_os_str()])
            .collect();
        Self::start_with(folder, id, store, &more).await
    }

    /// Like [`DocumentServer::start`], with more arguments.
    pub async fn start_with(
        folder: &Path,
        id: &str,
        store: &DocumentStore,
        more: &[impl AsRef<OsStr>],
    ) -> Result<Self> {
        let store = store.url();
        let mut arguments = ["serve", "--id", id, "--store", &store]
            .map(OsStr::new)
            .to_vec();
        arguments.extend(more.iter().map(AsRef::as_ref));
        let (process, address) = start(folder, id, &arguments).await?;
        Ok(Self {
            id: id.to_owned(),
            process,
            address,
        })
    }

    /// Its entry in a roster.
    #[must_use]
    pub fn entry(&self, weight: u32) -> sharding::Member {
        sharding::Member::new(&self.id, self.address, weight)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

async fn start(
    folder: &Path,
    name: &str,
    arguments: &[impl AsRef<OsStr>],
) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(document_server_binary()?);
    command.args(arguments).args(["--listen", "127.0.0.1:0"]);
    let mut process = Process::spawn(command, name, folder)?;
    let address = process.line("listening", listening_at).await?;
    Ok((process, address))
}

fn listening_at(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    line["listening"].as_str()?.parse().ok()
}
