//! An Envoy that ends with this program, and the CPU time that it takes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Starting includes compiling every module.
const START_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);
/// Waits until its standard input ends, which happens even when this program
/// is killed, and kills the process that it is told.
const WATCHDOG: &str = r#"cat >/dev/null; kill -s KILL "$1""#;

/// A running Envoy with one worker, killed on drop.
#[derive(Debug)]
pub(crate) struct Envoy {
    child: Child,
    watchdog: Child,
    scratch: TempDir,
}

impl Envoy {
    /// Starts it.
    pub(crate) fn start(binary: &Path, bootstrap: &Value) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let config = scratch.path().join("envoy.json");
        fs::write(&config, bootstrap.to_string())?;
        let log = File::create(scratch.path().join("log"))?;
        let mut child = Command::new(binary)
            .arg("--config-path")
            .arg(config)
            .arg("--admin-address-path")
            .arg(scratch.path().join("admin"))
            .args(["--use-dynamic-base-id", "--concurrency", "1"])
            .args(["--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Self {
                child,
                watchdog,
                scratch,
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error).context("sh does not start")
            }
        }
    }

    /// Waits until it serves, and returns where each listener is.
    pub(crate) async fn listeners(&mut self) -> Result<BTreeMap<String, SocketAddr>> {
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("Envoy has ended: {status}\n{}", self.log());
            }
            match self.ask_for_listeners().await {
                Ok(listeners) => return Ok(listeners),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    return Err(error.context(format!("Envoy does not serve\n{}", self.log())));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// What it has written.
    #[must_use]
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// CPU time of all its threads since it started.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let threads = PathBuf::from(format!("/proc/{}/task", self.child.id()));
        let mut nanoseconds = 0;
        for thread in fs::read_dir(threads)? {
            let path = thread?.path().join("schedstat");
            // A thread that has just ended takes its time with it; workers never end.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let running = text.split_whitespace().next();
            let running = running.with_context(|| format!("{} is empty", path.display()))?;
            nanoseconds += running.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    async fn ask_for_listeners(&self) -> Result<BTreeMap<String, SocketAddr>> {
        let admin = fs::read_to_string(self.scratch.path().join("admin"))?;
        let admin: SocketAddr = admin.trim().parse()?;
        get(admin, "/ready").await?;
        let listeners = get(admin, "/listeners?format=json").await?;
        let listeners: Value = serde_json::from_slice(&listeners)?;
        let listeners = listeners["listener_statuses"].as_array();
        let mut found = BTreeMap::new();
        for listener in listeners.context("no listeners")? {
            let name = listener["name"].as_str().context("no name")?;
            let socket = &listener["local_address"]["socket_address"];
            let port = socket["port_value"].as_u64().context("no port")?;
            let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?));
            found.insert(name.to_owned(), address);
        }
        Ok(found)
    }

    fn end(&mut self) -> Result<()> {
        // Before the child is reaped: then its number may become somebody else's.
        self.watchdog.kill()?;
        self.watchdog.wait()?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("Envoy {} may still run: {error:#}", self.child.id());
        }
    }
}

async fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let answer = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = http::Request::get(path)
            .header(http::header::HOST, "admin")
            .body(Empty::<bytes::Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{path}: {status}");
        anyhow::Ok(body.to_vec())
    };
    tokio::time::timeout(Duration::from_secs(5), answer).await?
}
