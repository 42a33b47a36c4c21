//! Envoy as a process.

mod admin;
mod health;
mod memory;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tokio::sync::Mutex;

use crate::artifacts::envoy_binary;
use crate::process::run_to_end;
use crate::{Client, Process, Protocol, eventually};

pub use admin::Admin;
use health::Served;
pub use memory::Memory;

/// Enough workers that they can disagree.
const WORKERS: &str = "2";

/// Variant of the xDS protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Incremental (`DELTA_GRPC`).
    Delta,
    /// State of the world (`GRPC`).
    Sotw,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Delta, Self::Sotw];

    /// As the command line spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Sotw => "sotw",
        }
    }
}

/// A handle on an Envoy that belongs to the environment. It can be killed and
/// started again; its ports change with that.
#[derive(Debug, Clone)]
pub struct Envoy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    folder: PathBuf,
    process: Mutex<Option<Process>>,
    served: Served,
    faults_expected: Arc<AtomicBool>,
}

impl Envoy {
    pub(crate) async fn start(
        name: &str,
        folder: &Path,
        bootstrap: &str,
        faults_expected: Arc<AtomicBool>,
    ) -> Result<Self> {
        let inner = Arc::new(Inner {
            name: name.to_owned(),
            folder: folder.to_owned(),
            process: Mutex::default(),
            served: Served::by(bootstrap),
            faults_expected,
        });
        let this = Self { inner };
        fs::write(this.file("yaml"), bootstrap)?;
        this.restart().await?;
        Ok(this)
    }

    /// Its name, which is also its node id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Kills it, after a look at its health, since what it counted dies with it.
    pub async fn kill(&self) -> Result<()> {
        self.expect_healthy().await?;
        let process = self.inner.process.lock().await.take();
        process.map_or(Ok(()), Process::kill)
    }

    /// Starts it, after killing it if it runs, and waits until its
    /// administration answers. That it serves is for [`Envoy::address`] to say.
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        // The last start's address must not be taken for this one's.
        if let Err(error) = fs::remove_file(self.file("admin")) {
            ensure!(error.kind() == std::io::ErrorKind::NotFound, error);
        }
        let mut command = Command::new(envoy_binary()?);
        command
            .arg("--config-path")
            .arg(self.file("yaml"))
            .arg("--admin-address-path")
            .arg(self.file("admin"))
            .args(["--use-dynamic-base-id", "--concurrency", WORKERS])
            .args(["--log-level", "info", "--component-log-level", "wasm:debug"]);
        let mut process = Process::spawn(command, &self.inner.name, &self.inner.folder)?;
        eventually("administered", async || {
            if let Err(ended) = process.expect_running() {
                return Ok(Err(ended));
            }
            Ok(Ok(self.admin()?.get("/server_info").await?))
        })
        .await??;
        *self.inner.process.lock().await = Some(process);
        Ok(())
    }

    /// Its administration, as of its last start.
    pub fn admin(&self) -> Result<Admin> {
        let address = fs::read_to_string(self.file("admin"))?;
        let address = address.trim_end();
        let address = address
            .parse()
            .with_context(|| format!("no admin address: {address:?}"))?;
        Ok(Admin::new(address))
    }

    /// Waits until it serves and tells where.
    pub async fn address(&self) -> Result<SocketAddr> {
        eventually("serving", async || self.serves().await).await
    }

    /// Where it serves, if it does by now.
    pub async fn serves(&self) -> Result<SocketAddr> {
        let admin = self.admin()?;
        admin.ready().await?;
        let listeners = admin.listeners().await?;
        let (_, address) = listeners.first().context("no listener")?;
        Ok(*address)
    }

    /// A client of its listener.
    pub async fn client(&self, protocol: Protocol) -> Result<Client> {
        Ok(Client::new(self.address().await?, protocol))
    }

    /// Its process id.
    pub async fn id(&self) -> Result<u32> {
        let process = self.inner.process.lock().await;
        Ok(process.as_ref().context("this Envoy is down")?.id())
    }

    /// How much memory it has.
    pub async fn memory(&self) -> Result<Memory> {
        Memory::of(&self.admin()?, self.id().await?).await
    }

    /// Stops it where it is: the kernel gathers what is sent to it, until
    /// [`Envoy::resume`].
    pub async fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP).await
    }

    /// Lets it go on after [`Envoy::pause`].
    pub async fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT).await
    }

    async fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.inner.process.lock().await;
        process
            .as_ref()
            .context("this Envoy is down")?
            .signal(signal)
    }

    /// What it has logged since its last start.
    pub async fn log(&self) -> Result<String> {
        let process = self.inner.process.lock().await;
        process.as_ref().context("this Envoy is down")?.output()
    }

    /// If it runs and no faults are expected: that it has refused no
    /// configuration and lost no filter.
    pub(crate) async fn expect_healthy(&self) -> Result<()> {
        let mut process = self.inner.process.lock().await;
        let Some(process) = process.as_mut() else {
            return Ok(());
        };
        if self.inner.faults_expected.load(Ordering::Relaxed) {
            return Ok(());
        }
        let check = async {
            process.expect_running()?;
            health::check_stats(&self.admin()?, self.inner.served).await?;
            health::check_log(&process.output()?)
        };
        check.await.with_context(|| self.name().to_owned())
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.inner
            .folder
            .join(format!("{}.{extension}", self.inner.name))
    }
}

/// Runs an Envoy that ends by itself.
pub async fn run_envoy(arguments: &[&str]) -> Result<Output> {
    run_to_end(&envoy_binary()?, Path::new("."), arguments).await
}
