//! A member that can be killed and stopped like a server.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{Process, eventually};

/// A [`Member`](crate::Member) in a process of its own. It returns at the
/// address that it had.
#[derive(Debug)]
pub struct MemberProcess {
    binary: PathBuf,
    folder: PathBuf,
    id: String,
    address: SocketAddr,
    process: Option<Process>,
}

impl MemberProcess {
    /// Starts the binary `member` at a free port of that address; its log goes
    /// to `folder`.
    pub async fn start(binary: &str, folder: &Path, id: String, ip: IpAddr) -> Result<Self> {
        let mut this = Self {
            binary: binary.into(),
            folder: folder.to_owned(),
            id,
            address: (ip, 0).into(),
            process: None,
        };
        this.restart().await?;
        Ok(this)
    }

    /// Its entry in a roster.
    #[must_use]
    pub fn entry(&self) -> sharding::Member {
        sharding::Member::new(&self.id, self.address, 1)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref();
        process.context("the member is down")?.signal(signal)
    }

    /// Kills it: it gets no chance to tidy up.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Starts it, after killing it if it runs.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let (process, address) = eventually("a member that listens", async || {
            let mut command = Command::new(&self.binary);
            command.args(["--id", &self.id, "--listen", &self.address.to_string()]);
            let mut process = Process::spawn(command, &self.id, &self.folder)?;
            let address = process.line("listening", |line| line.parse().ok()).await?;
            Ok((process, address))
        })
        .await?;
        self.process = Some(process);
        self.address = address;
        Ok(())
    }
}
