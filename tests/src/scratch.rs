//! A folder per test for configurations and logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::artifacts::target_folder;

/// Two scratch folders of one process never share a name.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A folder under `target/scratch` that is removed on drop unless the test
/// failed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes the folder for the test of that name.
    pub fn new(test: &str) -> Result<Self> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", test.replace("::", "-"), process::id());
        let path = target_folder()?.join("scratch").join(name);
        fs::create_dir_all(&path)
            .with_context(|| format!("no scratch folder {}", path.display()))?;
        Ok(Self { path, keep: false })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the folder after the drop.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep || std::thread::panicking() {
            eprintln!("Logs of the failed test: {}", self.path.display());
        } else if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("Scratch folder {} stays: {error}", self.path.display());
        }
    }
}
