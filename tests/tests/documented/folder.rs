//! The folder of somebody who follows a document: the files that it shows, and
//! the programs that it runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use yorkies_tests::{envoy_binary, filter_module, xds_server_binary};

use crate::expected::expect_equal;
use crate::markdown::Block;

/// The module of the documents, which a machine has where it was put.
const MODULE: &str = "/usr/local/lib/yorkies/yorkies-filter-HASH.wasm";

/// Envoy as the documents start it, but on ports of this machine's choice.
const ENVOY: &str = "#!/bin/sh\nsed -i 's/port_value: 9901/port_value: 0/' \"$2\"\n\
    exec ENVOY \"$@\" --use-dynamic-base-id --concurrency 1 --admin-address-path envoy.admin\n";

/// A Kubernetes whose pods are made up.
const KUBECTL: &str = concat!(
    "#!/bin/sh\ncat <<'END'\n",
    include_str!("pods.json"),
    "\nEND\n"
);

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new folder in `parent`, with the programs that documents name.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(name.replace('/', "-"));
        let (programs, built) = (path.join("bin"), path.join("target/release"));
        fs::create_dir_all(&programs)?;
        fs::create_dir_all(&built)?;
        for folder in [&programs, &built] {
            symlink(xds_server_binary()?, folder.join("xds-server"))?;
        }
        let envoy = ENVOY.replace("ENVOY", &envoy_binary()?.display().to_string());
        for (name, text) in [("envoy", &*envoy), ("kubectl", KUBECTL)] {
            fs::write(programs.join(name), text)?;
            fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that is shown, if it says its name in a comment in its
    /// first line, `# NAME.yaml`.
    pub(crate) fn take(&self, block: &Block) -> Result<()> {
        let first = block.text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("# ").unwrap_or_default();
        let name = words.split([':', ' ']).next().unwrap_or_default();
        if Path::new(name).extension().is_some_and(|is| is == "yaml") {
            self.write(name, &block.text)?;
        }
        Ok(())
    }

    /// Writes a file, in which the module is where it is on this machine.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let module = filter_module()?.display().to_string();
        Ok(fs::write(
            self.path.join(name),
            text.replace(MODULE, &module),
        )?)
    }

    /// The commands of a document, ready to run here.
    pub(crate) fn script(&self, commands: &str) -> Result<std::process::Command> {
        let path = std::env::var("PATH").context("no PATH")?;
        let mut command = std::process::Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(&self.path)
            .env(
                "PATH",
                format!("{}:{path}", self.path.join("bin").display()),
            )
            .env_remove("YORKIES_CONFIG")
            .env_remove("YORKIES_ADMIN")
            .stdin(Stdio::null());
        Ok(command)
    }

    pub(crate) async fn run(&self, commands: &str) -> Result<Output> {
        let mut command = Command::from(self.script(commands)?);
        Ok(command.kill_on_drop(true).output().await?)
    }

    /// Runs commands that need no server, and compares what they print.
    pub(crate) async fn follow(
        &self,
        commands: &str,
        fails: bool,
        said: Option<&str>,
    ) -> Result<()> {
        let output = self.run(commands).await?;
        ensure!(output.status.success() != fails, "{output:?}");
        let printed = if fails {
            &output.stderr
        } else {
            &output.stdout
        };
        said.map_or(Ok(()), |said| {
            expect_equal(said, &String::from_utf8_lossy(printed))
        })
    }
}
