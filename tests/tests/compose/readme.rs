//! The steps of the README with a compose file.

use std::fs;

use anyhow::{Result, ensure};
use yorkies_tests::workspace;

/// Every command with that file, in the order of the README, without what
/// comes after it as a comment.
pub(super) fn steps(file: &str) -> Result<Vec<String>> {
    let readme = fs::read_to_string(workspace().join("README.md"))?;
    let start = format!("docker compose -f {file} ");
    let steps: Vec<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix(&start))
        .map(|step| step.split(" #").next().unwrap_or(step).trim().to_owned())
        .collect();
    ensure!(!steps.is_empty(), "the README has no step with {file}");
    Ok(steps)
}
