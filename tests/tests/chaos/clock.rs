//! The control plane's wall clock, as libfaketime makes it believe.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where distributions have the library.
const FOLDERS: [&str; 5] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
];

const LIBRARY: &str = "libfaketimeMT.so.1";

/// A clock that jumps when it is told to.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// A clock that is that many seconds ahead. Fails on a machine without
    /// libfaketime.
    pub(crate) fn start(folder: &Path, seconds: i64) -> Result<Self> {
        let libraries = FOLDERS.iter().map(|folder| Path::new(folder).join(LIBRARY));
        let library = libraries.into_iter().find(|library| library.is_file());
        let this = Self {
            library: library.context(
                "libfaketime, which lets clocks jump, is missing: apt-get install faketime",
            )?,
            file: folder.join("clock"),
        };
        this.set(seconds)?;
        Ok(this)
    }

    /// Makes it that many seconds ahead of the right time.
    pub(crate) fn set(&self, seconds: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        Ok(fs::rename(new, &self.file)?)
    }

    /// What a process has to have in its environment to go by it. Only the wall
    /// clock lies: the system's monotonic one does not jump either.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }
}
