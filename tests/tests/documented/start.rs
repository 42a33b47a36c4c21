//! The commands that start a router.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use http::{Method, StatusCode};
use yorkies_tests::{Client, Process, Protocol, Request, eventually};

use crate::folder::Folder;

/// Runs commands that go on, until an Envoy that they start has that listener and
/// the filter.
pub(crate) async fn expect_router(
    folder: &Folder,
    commands: &str,
    listener: SocketAddr,
) -> Result<()> {
    let command = folder.script(commands)?;
    let mut process = Process::spawn(command, "started", folder.path())?;
    eventually("a refusal of a request without a key", async || {
        if let Err(ended) = process.expect_running() {
            return Ok(Err(ended));
        }
        let client = Client::new(listener, Protocol::Http1);
        let reply = client.send(&Request::new(Method::GET, "/document")).await?;
        ensure!(reply.status == StatusCode::BAD_REQUEST, "{reply:?}");
        Ok(Ok(()))
    })
    .await?
}
