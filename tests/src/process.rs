//! Child processes that never outlive their test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{eventually, patience};

/// Waits until its standard input ends, which happens even when the test's own
/// process is killed, and kills the group of processes that it is told.
const WATCHDOG: &str = r#"cat >/dev/null; kill -s KILL -- "-$1""#;

/// How much of its log the error shows when a process has ended, in lines and
/// in characters of each.
const SHOWN_LINES: usize = 6;
const SHOWN_CHARACTERS: usize = 400;

/// A running process, in a process group of its own, killed on drop. Its
/// output is in `NAME.log` in the scratch folder, appended to on each start.
#[derive(Debug)]
pub struct Process {
    child: Child,
    watchdog: Child,
    log: PathBuf,
    /// Where this start's output begins in the log.
    log_start: u64,
}

impl Process {
    /// Starts `command` and sends all its output to `folder/NAME.log`.
    pub fn spawn(mut command: Command, name: &str, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let log_start = output.metadata()?.len();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{command:?} does not start"))?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let watchdog = match watchdog {
            Ok(watchdog) => watchdog,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error).context("sh does not start");
            }
        };
        Ok(Self {
            child,
            watchdog,
            log,
            log_start,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process and its children.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let group = group.context("a process id is a positive number")?;
        Ok(kill_process_group(group, signal)?)
    }

    /// Kills it (`SIGKILL`: it gets no chance to tidy up) and waits for its end.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        eventually("ended", async || {
            self.child.try_wait()?.context("still running")
        })
        .await
    }

    /// Fails if it has ended, with the end of its log.
    pub fn expect_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let output = self.output()?;
        let mut last: Vec<String> = output
            .lines()
            .rev()
            .take(SHOWN_LINES)
            .map(shorten)
            .collect();
        last.reverse();
        bail!(
            "{} has ended by itself: {status}: {last:#?}",
            self.log.display()
        )
    }

    /// Everything it has written since this start.
    pub fn output(&self) -> Result<String> {
        let all = fs::read(&self.log)?;
        let start = usize::try_from(self.log_start)?;
        Ok(String::from_utf8_lossy(all.get(start..).unwrap_or_default()).into_owned())
    }

    /// Waits until `find` recognises a line of its output.
    pub async fn line<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        eventually(what, async || {
            // In this order: what has ended has written its last line.
            let running = self.expect_running();
            let found = self.output()?.lines().find_map(&mut find);
            match (found, running) {
                (Some(found), _) => Ok(Ok(found)),
                (None, Err(ended)) => Ok(Err(ended)),
                (None, Ok(())) => bail!("no such line in {}", self.log.display()),
            }
        })
        .await?
    }

    fn end(&mut self) -> Result<()> {
        // Before the child is reaped: then its number may become somebody else's.
        self.watchdog.kill()?;
        self.watchdog.wait()?;
        if self.child.try_wait()?.is_none() {
            self.signal(Signal::KILL)?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("Process {} may still run: {error:#}", self.child.id());
        }
    }
}

/// Runs a program that ends by itself, in that folder, and returns its output.
pub(crate) async fn run_to_end(
    program: &Path,
    folder: &Path,
    arguments: &[&str],
) -> Result<Output> {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(patience(), output)
        .await
        .with_context(|| format!("{} {arguments:?} does not end", program.display()))?
        .with_context(|| format!("{} does not start", program.display()))
}

fn shorten(line: &str) -> String {
    line.chars().take(SHOWN_CHARACTERS).collect()
}
