//! The agent that registers a member, as a process.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use sharding::Member as Entry;

use crate::artifacts::xds_server_binary;
use crate::{ControlPlane, Process};

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct Registered {
    /// What it registers.
    pub entry: Entry,
    /// How long its lease lasts.
    pub ttl: Duration,
    /// What tells whether the server is healthy.
    pub health: Option<String>,
    /// The server.
    pub command: Vec<OsString>,
}

/// `xds-server register`, and the server that it has started. Both are killed on
/// drop.
#[derive(Debug)]
pub struct Agent {
    process: Process,
}

impl Agent {
    /// Starts one; its log and that of its server go to `folder`.
    pub fn start(
        folder: &Path,
        control_plane: &ControlPlane,
        registered: &Registered,
    ) -> Result<Self> {
        Self::start_with(
            folder,
            control_plane,
            &control_plane.token_file(),
            registered,
        )
    }

    /// Like [`Agent::start`], with the token of another file.
    pub fn start_with(
        folder: &Path,
        control_plane: &ControlPlane,
        token_file: &Path,
        registered: &Registered,
    ) -> Result<Self> {
        let Registered {
            entry,
            ttl,
            health,
            command,
        } = registered;
        let mut agent = Command::new(xds_server_binary()?);
        agent.args(["register", "--id", &entry.id]);
        agent.args(["--admin", &control_plane.admin_url()]);
        agent.arg("--token-file").arg(token_file);
        agent.args(["--address", &entry.address.to_string()]);
        agent.args(["--ttl", &format!("{}ms", ttl.as_millis())]);
        agent.args(health.iter().flat_map(|url| ["--health", url]));
        if !command.is_empty() {
            agent.arg("--").args(command);
        }
        let name = format!("agent-{}", entry.id);
        let process = Process::spawn(agent, &name, folder)?;
        Ok(Self { process })
    }

    /// The process of the agent.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until it has said that.
    pub async fn says(&mut self, what: &str) -> Result<()> {
        let says = |line: &str| line.contains(what).then_some(());
        self.process.line(what, says).await
    }

    /// Sends a signal to it alone, not to its server.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        let pid = pid.context("a process id is a positive number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills both, without a word to anybody.
    pub fn kill(self) -> Result<()> {
        self.process.kill()
    }
}
