//! Runs the scripts with the real JS SDK, for the tests of this package and of
//! whatever stands in front of its servers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::{ChildStdin, Command};
use tokio::task::JoinSet;

/// How long one run of a script may take, and how long the installation.
const LIMIT: Duration = Duration::from_secs(90);

/// What a script did.
#[derive(Debug)]
pub struct Run {
    /// Whether it says that all went well.
    pub success: bool,
    /// What it printed: an event a line.
    pub lines: Vec<Value>,
}

impl Run {
    /// The lines of one kind.
    #[must_use]
    pub fn events(&self, event: &str) -> Vec<&Value> {
        let all = self.lines.iter();
        all.filter(|line| line["event"] == event).collect()
    }

    /// The last line.
    ///
    /// # Errors
    /// When the script ended before its result.
    pub fn result(&self) -> Result<&Value> {
        let last = self.lines.last().context("the script printed nothing")?;
        ensure!(last["event"] == "result", "the script ended with {last}");
        Ok(last)
    }
}

/// `two-clients.js` while it runs; ends with this.
#[derive(Debug)]
pub struct Running {
    /// Closed to tell it that it has edited enough.
    stdin: Option<ChildStdin>,
    /// Reads what it prints all the while: a full pipe would stop it.
    output: JoinSet<std::io::Result<Output>>,
}

impl Running {
    /// Tells it that it has edited enough, and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time or does not speak JSON.
    pub async fn finish(mut self) -> Result<Run> {
        drop(self.stdin.take());
        let output = tokio::time::timeout(LIMIT, self.output.join_next())
            .await
            .with_context(|| format!("two-clients.js takes more than {LIMIT:?}"))?;
        read(&output.context("two-clients.js does not run")???)
    }
}

/// Starts `two-clients.js` as [`two_clients`] does; with `--steady` it goes on
/// until it is told to finish.
///
/// # Errors
/// When Node.js or npm are missing.
pub async fn start_two_clients(arguments: &[&str]) -> Result<Running> {
    let mut command = Command::new("node");
    command
        .arg(scripts().await?.join("two-clients.js"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .context("node does not start: install Node.js 20 or later")?;
    let stdin = child.stdin.take();
    let mut output = JoinSet::new();
    output.spawn(child.wait_with_output());
    Ok(Running { stdin, output })
}

/// Runs `two-clients.js`; its head says what the arguments mean. Installs the
/// SDK first when it is missing.
///
/// # Errors
/// When Node.js or npm are missing, or the script does not end in time or does
/// not speak JSON.
pub async fn two_clients(arguments: &[&str]) -> Result<Run> {
    start_two_clients(arguments).await?.finish().await
}

fn read(output: &Output) -> Result<Run> {
    let text = std::str::from_utf8(&output.stdout)?;
    let line = |line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"));
    let lines: Result<_> = text.lines().map(line).collect();
    Ok(Run {
        success: output.status.success(),
        lines: lines?,
    })
}

/// The folder with the scripts, their packages installed.
async fn scripts() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
    // Several test processes may come here at once; one installs.
    let lock = File::open(folder.join("package.json"))?;
    let _installing = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let sdk = folder.join("node_modules/@yorkie-js/sdk/package.json");
    if !sdk.exists() {
        let mut install = Command::new("npm");
        install
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let status = tokio::time::timeout(LIMIT, install.status())
            .await
            .with_context(|| format!("npm ci takes more than {LIMIT:?}"))?
            .context("npm does not start: install Node.js 20 or later")?;
        ensure!(status.success(), "npm ci failed: {status}");
    }
    Ok(folder)
}
