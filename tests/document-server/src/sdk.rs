//! Runs the scripts with the real JS SDK, for the tests of this package and of
//! whatever stands in front of its servers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
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

/// A script while it runs; ends with this.
#[derive(Debug)]
pub struct Running {
    script: &'static str,
    /// Closed to tell it that it has edited enough.
    stdin: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<Value>>>,
    /// Reads what it prints all the while: a full pipe would stop it.
    end: JoinSet<Result<bool>>,
}

impl Running {
    /// How many lines of that kind it has printed.
    #[must_use]
    pub fn count(&self, event: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line["event"] == event).count()
    }

    /// Tells it that it has edited enough, and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time or does not speak JSON.
    pub async fn finish(mut self) -> Result<Run> {
        drop(self.stdin.take());
        let end = tokio::time::timeout(LIMIT, self.end.join_next())
            .await
            .with_context(|| format!("{} takes more than {LIMIT:?}", self.script))?;
        let success = end.with_context(|| format!("{} does not run", self.script))???;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *lines);
        Ok(Run { success, lines })
    }
}

/// Starts `two-clients.js` as [`two_clients`] does; with `--steady` it goes on
/// until it is told to finish.
///
/// # Errors
/// When Node.js or npm are missing.
pub async fn start_two_clients(arguments: &[&str]) -> Result<Running> {
    start("two-clients.js", arguments).await
}

/// Starts `two-pages.js`, whose head says what the arguments mean. Installs
/// what it needs first, but for the browser.
///
/// # Errors
/// When Node.js or npm are missing.
pub async fn start_two_pages(arguments: &[&str]) -> Result<Running> {
    start("two-pages.js", arguments).await
}

/// The folders of the sample page and of the SDK that it runs, for
/// [`crate::pages::Pages`]. Installs the SDK when it is missing.
///
/// # Errors
/// When npm is missing.
pub async fn page_folders() -> Result<[PathBuf; 2]> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("pages");
    let sdk = scripts().await?.join("node_modules/@yorkie-js/sdk/dist");
    Ok([pages, sdk])
}

async fn start(script: &'static str, arguments: &[&str]) -> Result<Running> {
    let mut command = Command::new("node");
    command
        .arg(scripts().await?.join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .context("node does not start: install Node.js 20 or later")?;
    let stdin = child.stdin.take();
    let lines = Arc::<Mutex<Vec<Value>>>::default();
    let mut end = JoinSet::new();
    end.spawn(listen(child, lines.clone()));
    Ok(Running {
        script,
        stdin,
        lines,
        end,
    })
}

/// Reads what a script prints until it ends; whether it ended well.
async fn listen(mut child: Child, lines: Arc<Mutex<Vec<Value>>>) -> Result<bool> {
    let stdout = child.stdout.take().context("no standard output")?;
    let mut printed = BufReader::new(stdout).lines();
    while let Some(line) = printed.next_line().await? {
        let line = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
        lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }
    Ok(child.wait().await?.success())
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

/// The folder with the scripts, their packages installed.
async fn scripts() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
    install_packages(&folder).await?;
    Ok(folder)
}

/// Installs what the lock file in `folder` names, unless that is done.
///
/// # Errors
/// When npm is missing, or does not do it in time.
pub async fn install_packages(folder: &Path) -> Result<()> {
    // Several test processes may come here at once; one installs.
    let lock = File::open(folder.join("package.json"))?;
    let _installing = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if !is_installed(folder) {
        let mut install = Command::new("npm");
        install
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let status = tokio::time::timeout(LIMIT, install.status())
            .await
            .with_context(|| format!("npm ci takes more than {LIMIT:?}"))?
            .context("npm does not start: install Node.js 20 or later")?;
        ensure!(status.success(), "npm ci failed: {status}");
    }
    Ok(())
}

/// Whether npm has installed the packages since their list last changed.
fn is_installed(folder: &Path) -> bool {
    let changed = |file: &str| folder.join(file).metadata()?.modified();
    let (listed, installed) = (
        changed("package-lock.json"),
        changed("node_modules/.package-lock.json"),
    );
    listed.is_ok_and(|listed| installed.is_ok_and(|installed| installed >= listed))
}
