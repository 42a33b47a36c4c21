//! Packages for Python.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use sharding::xxh64;
use tokio::process::Command;
use tokio::time::timeout;

use crate::artifacts::target_folder;
use crate::patience;

/// The folder with the packages that a file of requirements names, installed on
/// first use. (Into a folder of its own, not a virtual environment, which
/// Debian's Python cannot make without another package.)
pub(crate) async fn packages(requirements: &Path) -> Result<PathBuf> {
    let tag = python(&[
        "-c",
        "import sys; print(sys.implementation.cache_tag, end='')",
    ])
    .await?;
    let wanted = xxh64(&fs::read(requirements)?, 0);
    let folder = target_folder()?.join(format!("python/{tag}-{wanted:016x}"));
    // Several test processes may come here at once; one installs.
    let lock = File::open(requirements)?;
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
