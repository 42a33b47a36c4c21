//! Runs the scripts with the real JS SDK.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// How long one run of a script may take.
const LIMIT: Duration = Duration::from_secs(90);

/// What a script did.
pub(crate) struct Run {
    pub(crate) success: bool,
    pub(crate) lines: Vec<Value>,
}

impl Run {
    /// The lines of one kind.
    pub(crate) fn events(&self, event: &str) -> Vec<&Value> {
        self.lines
            .iter()
            .filter(|line| line["event"] == event)
            .collect()
    }

    /// The last line.
    pub(crate) fn result(&self) -> &Value {
        self.lines
            .last()
            .filter(|line| line["event"] == "result")
            .expect("a result")
    }
}

/// Runs `two-clients.js`.
pub(crate) async fn two_clients(arguments: &[&str]) -> Run {
    let scripts = scripts().await;
    let run = Command::new("node")
        .arg(scripts.join("two-clients.js"))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run)
        .await
        .expect("in time")
        .expect("node runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    Run {
        success: output.status.success(),
        lines: text.lines().map(line).collect(),
    }
}

/// The folder with the scripts, their packages installed.
async fn scripts() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk");
    // Several test processes may come here at once; one installs.
    let lock = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk.lock");
    let lock = File::create(lock).expect("a lock file");
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
    let _installing = lock.expect("not cancelled").expect("locked");
    if !folder
        .join("node_modules/@yorkie-js/sdk/package.json")
        .exists()
    {
        let install = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .status();
        let status = tokio::time::timeout(LIMIT, install).await.expect("in time");
        assert!(
            status.expect("npm runs").success(),
            "the packages are installed"
        );
    }
    folder
}
