//! The commands that start a router, on free ports.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use yorkies_tests::{Client, Process, Protocol, Request, eventually};

use crate::folder::Folder;

/// Runs commands that go on, until an Envoy that they start has a listener and
/// the filter.
pub(crate) async fn expect_router(folder: &Folder, commands: &str) -> Result<()> {
    let listener = move_ports(folder)?;
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

/// Gives the configuration other ports than the documents have; the listener's
/// is returned.
fn move_ports(folder: &Folder) -> Result<SocketAddr> {
    let path = folder.path().join("yorkies.yaml");
    let text = fs::read_to_string(&path).context("no yorkies.yaml is shown before")?;
    let (listener, xds) = (free()?, free()?);
    let moved = text.replace("0.0.0.0:8080", &listener.to_string());
    ensure!(
        moved != text,
        "yorkies.yaml has no listener at 0.0.0.0:8080"
    );
    let more = format!("xds: {{ listen: '{xds}' }}\nadmin: {{ listen: '127.0.0.1:0' }}\n");
    fs::write(path, moved + &more)?;
    Ok(listener)
}

fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
