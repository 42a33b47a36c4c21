//! gRPC clients as processes: Python's, and that of Node.js.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use document_server::sdk;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::patience;
use crate::python::packages;

/// Whose gRPC it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrpcLibrary {
    /// `grpcio`, of Python: gRPC's C core.
    Grpcio,
    /// `@grpc/grpc-js`, of Node.js.
    GrpcJs,
}

/// A gRPC library on one channel. It knows no service: messages are bytes.
/// Killed on drop.
#[derive(Debug)]
pub struct GrpcClient {
    stdin: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// A resource that a client has over xDS, or waits for (CSDS).
#[derive(Debug, Deserialize)]
pub struct XdsResource {
    /// Its type URL.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// What the client thinks of it: `ACKED`, `NACKED`, `REQUESTED`,
    /// `DOES_NOT_EXIST`.
    pub status: String,
    /// Version of what it uses; may be empty.
    pub version: String,
    /// Why it refused the newest; empty when it did not.
    pub error: String,
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
    /// Starts Python's client, which connects with its first call.
    pub async fn start(server: SocketAddr) -> Result<Self> {
        let mut command = GrpcLibrary::Grpcio.command().await?;
        command.arg(server.to_string());
        Self::spawn(command)
    }

    /// Starts a client that asks the control plane who is behind `xds:///` and
    /// that name, and goes there by itself. Python's knows members by their hash
    /// keys, that of Node.js by their addresses.
    pub async fn proxyless(
        library: GrpcLibrary,
        control_plane: SocketAddr,
        target: &str,
    ) -> Result<Self> {
        let bootstrap = json!({
            "xds_servers": [{
                "server_uri": control_plane.to_string(),
                "channel_creds": [{ "type": "insecure" }],
                "server_features": ["xds_v3"],
            }],
            "node": {
                "id": format!("{library:?}"),
                "cluster": "tests",
                "locality": {},
                "metadata": { "reads_hash_key": library == GrpcLibrary::Grpcio },
            },
        });
        let mut command = library.command().await?;
        command
            .arg(format!("xds:///{target}"))
            .env("GRPC_XDS_BOOTSTRAP_CONFIG", bootstrap.to_string())
            // Without it gRPC's C core, up to 1.85 at least, knows no hash keys.
            .env("GRPC_XDS_ENDPOINT_HASH_KEY_BACKWARD_COMPAT", "false");
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let spawned = command.spawn();
        let mut process = spawned.with_context(|| format!("{command:?} does not start"))?;
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
        self.ask(&call).await
    }

    /// What it has over xDS, by its own word. Only Python's client tells.
    pub async fn xds(&mut self) -> Result<Vec<XdsResource>> {
        self.ask(&json!({"xds": true})).await
    }

    async fn ask<T: DeserializeOwned>(&mut self, question: &Value) -> Result<T> {
        let line = format!("{question}\n");
        self.stdin.write_all(line.as_bytes()).await?;
        let reply = timeout(patience(), self.replies.next_line());
        let reply = reply.await.context("the client does not reply")??;
        Ok(serde_json::from_str(
            &reply.context("the client has ended")?,
        )?)
    }
}

impl GrpcLibrary {
    /// Its client, which takes the target for an argument.
    async fn command(self) -> Result<Command> {
        let (program, script) = match self {
            Self::Grpcio => ("python3", "grpc_client.py"),
            Self::GrpcJs => ("node", "grpc_client.js"),
        };
        let mut command = Command::new(program);
        command.arg(clients().join(script));
        match self {
            Self::Grpcio => {
                let requirements = clients().join("requirements.txt");
                command.env("PYTHONPATH", packages(&requirements).await?);
            }
            Self::GrpcJs => sdk::install_packages(&clients()).await?,
        }
        Ok(command)
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}
