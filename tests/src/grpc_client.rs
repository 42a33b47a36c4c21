//! Python's gRPC client as a process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde_json::json;
use sharding::xxh64;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::artifacts::target_folder;
use crate::patience;

/// `grpcio`, the gRPC of Python, on one connection. It knows no service:
/// messages are bytes. Killed on drop.
#[derive(Debug)]
pub struct GrpcClient {
    stdin: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// What came of a call, as the client understands it.
#[derive(Debug, Deserialize)]
pub struct GrpcReply {
    /// The status, such as `OK`.
    pub code: String,
    /// Its message.
    pub details: String,
    /// Metadata before the answer.
    pub initial: BTreeMap<String, String>,
    /// Metadata after it.
    pub trailing: BTreeMap<String, String>,
    message: Option<String>,
}

impl GrpcReply {
    /// The answer, or the first one of a stream.
    pub fn message(&self) -> Result<Vec<u8>> {
        let message = self.message.as_deref();
        let message = message.with_context(|| format!("no answer: {self:?}"))?;
        Ok(BASE64_STANDARD.decode(message)?)
    }
}

impl GrpcClient {
    /// Starts the client, which connects with its first call.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let mut command = Command::new("python3");
        command
            .arg(clients().join("grpc_client.py"))
            .arg(server.to_string())
            .env("PYTHONPATH", packages().await?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().context("python3 does not start")?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        Ok(Self {
            stdin: stdin.context("no input")?,
            replies: BufReader::new(stdout.context("no output")?).lines(),
            _process: process,
        })
    }

    /// Calls a method that gives one answer.
    pub async fn unary(
        &mut self,
        path: &str,
        metadata: &[(&str, &str)],
        message: &[u8],
    ) -> Result<GrpcReply> {
        self.call(path, false, metadata, message).await
    }

    /// Calls a method that goes on answering, and cancels it after the first
    /// answer.
    pub async fn first_of_stream(
        &mut self,
        path: &str,
        metadata: &[(&str, &str)],
        message: &[u8],
    ) -> Result<GrpcReply> {
        self.call(path, true, metadata, message).await
    }

    async fn call(
        &mut self,
        path: &str,
        stream: bool,
        metadata: &[(&str, &str)],
        message: &[u8],
    ) -> Result<GrpcReply> {
        let message = BASE64_STANDARD.encode(message);
        let call =
            json!({"path": path, "stream": stream, "metadata": metadata, "message": message});
        self.stdin.write_all(format!("{call}\n").as_bytes()).await?;
        let reply = timeout(patience(), self.replies.next_line());
        let reply = reply.await.context("grpcio does not reply")??;
        Ok(serde_json::from_str(&reply.context("grpcio has ended")?)?)
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The folder with the packages that the client needs, installed on first use.
/// (Into a folder of its own, not a virtual environment, which Debian's Python
/// cannot make without another package.)
async fn packages() -> Result<PathBuf> {
    let requirements = clients().join("requirements.txt");
    let tag = python(&[
        "-c",
        "import sys; print(sys.implementation.cache_tag, end='')",
    ])
    .await?;
    let wanted = xxh64(&fs::read(&requirements)?, 0);
    let folder = target_folder()?.join(format!("python/{tag}-{wanted:016x}"));
    // Several test processes may come here at once; one installs.
    let lock = File::open(&requirements)?;
    let _installing = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if !folder.exists() {
        let unfinished = folder.with_extension("unfinished");
        let (file, into) = (requirements.to_str(), unfinished.to_str());
        let (file, into) = file.zip(into).context("a path that is no text")?;
        python(&[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--upgrade",
            "--requirement",
            file,
            "--target",
            into,
        ])
        .await?;
        fs::rename(unfinished, &folder)?;
    }
    Ok(folder)
}

async fn python(arguments: &[&str]) -> Result<String> {
    let output = Command::new("python3")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(3 * patience(), output)
        .await
        .with_context(|| format!("python3 {arguments:?} does not end"))?
        .context("python3 does not start: install it with pip")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "python3 {arguments:?}: {}\n{errors}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}
