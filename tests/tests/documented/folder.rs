//! The folder of somebody who follows a document: the files that it shows, and
//! the programs that it runs.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use yorkies_tests::manual::{Block, expect_equal};
use yorkies_tests::{envoy_binary, filter_module, own_address, xds_server_binary};

use crate::yaml::startable;

/// The module of the documents, which a machine has where it was put.
const MODULE: &str = "/usr/local/lib/yorkies/yorkies-filter-HASH.wasm";

/// Where documents have programs and Envoy keep files, and folders there.
const ETC: &str = "/etc/";
const OF_ETC: [&str; 2] = ["envoy", "yorkies"];

/// Where documents have a router listen.
const LISTENER: &str = "0.0.0.0:8080";
const XDS: [&str; 3] = [
    "0.0.0.0:18000",
    "127.0.0.1:18000",
    "control-plane.internal:18000",
];
const ADMIN: &str = "127.0.0.1:18001";

/// The same name in a request for a certificate.
const CERTIFIED: &str = "DNS:control-plane.internal";

/// What a configuration may name, where a document does not show it.
const MEMBERS_FILE: &str = "members.yaml";
const MEMBERS: &str = "members: [{ address: 127.0.0.1:80 }, { address: 127.0.0.1:81 }]\n";
const TOKEN_FILE: &str = "admin-token";
const TOKEN: &str = "0123456789abcdef0123456789abcdef\n";

/// Envoy as the documents start it, but on ports of this machine's choice.
const ENVOY: &str = "#!/bin/sh\nsed -i 's/port_value: 9901/port_value: 0/' \"$2\"\n\
    exec ENVOY \"$@\" --use-dynamic-base-id --concurrency 1 --admin-address-path envoy.admin\n";

/// A Kubernetes whose pods are made up.
const KUBECTL: &str = concat!(
    "#!/bin/sh\ncat <<'END'\n",
    include_str!("pods.json"),
    "\nEND\n"
);

/// A server that is started as Yorkie is, but with what `yorkie.env` has.
const YORKIE: &str = "#!/bin/sh\n. ./yorkie.env\nexec $SERVE\n";

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// As the documents write them, and where they are.
    places: Vec<(String, String)>,
}

impl Folder {
    /// A new folder in `parent`, with the programs that documents name.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(name.replace(['/', ':'], "-"));
        let programs = path.join("bin");
        fs::create_dir_all(&programs)?;
        symlink(xds_server_binary()?, programs.join("xds-server"))?;
        let envoy = ENVOY.replace("ENVOY", &envoy_binary()?.display().to_string());
        for (name, text) in [("envoy", &*envoy), ("kubectl", KUBECTL), ("yorkie", YORKIE)] {
            fs::write(programs.join(name), text)?;
            fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755))?;
        }
        let etc = path.join("etc");
        for name in OF_ETC {
            fs::create_dir_all(etc.join(name))?;
        }
        let mut this = Self {
            path,
            places: Vec::new(),
        };
        this.place(ETC, &format!("{}/", etc.display()));
        this.place(MODULE, &filter_module()?.display().to_string());
        this.write(MEMBERS_FILE, MEMBERS)?;
        this.write(TOKEN_FILE, TOKEN)?;
        Ok(this)
    }

    /// Where on this machine is what the documents write so.
    pub(crate) fn place(&mut self, written: &str, here: &str) {
        self.places.push((written.to_owned(), here.to_owned()));
    }

    /// Gives a router that is started here addresses of its own.
    pub(crate) fn place_router(&mut self) -> Result<SocketAddr> {
        let (listener, xds) = (own_address()?, own_address()?);
        self.place(LISTENER, &listener.to_string());
        for written in XDS {
            self.place(written, &xds.to_string());
        }
        self.place(CERTIFIED, &format!("IP:{}", xds.ip()));
        self.place(ADMIN, &own_address()?.to_string());
        Ok(listener)
    }

    /// A text of the documents as it has to be on this machine.
    pub(crate) fn here(&self, text: &str) -> String {
        let places = self.places.iter();
        places.fold(text.to_owned(), |text, (written, here)| {
            text.replace(written, here)
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that is shown, if it says its name in a comment in its
    /// first line, `# NAME.yaml`. If a router `starts` from it, it has all that
    /// this takes.
    pub(crate) fn take(&self, block: &Block, starts: bool) -> Result<()> {
        let first = block.text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("# ").unwrap_or_default();
        let name = words.split([':', ' ']).next().unwrap_or_default();
        if Path::new(name).extension().is_none_or(|is| is != "yaml") {
            Ok(())
        } else if starts && name != MEMBERS_FILE {
            self.write(name, &startable(&block.text)?)
        } else {
            self.write(name, &block.text)
        }
    }

    /// Writes a file of the documents.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.path.join(name), self.here(text))?)
    }

    /// The commands of a document, ready to run here.
    pub(crate) fn script(&self, commands: &str) -> Result<std::process::Command> {
        let path = std::env::var("PATH").context("no PATH")?;
        let mut command = std::process::Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", &self.here(commands)])
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

    /// Runs commands that need no server, and compares what they print: without
    /// a word on it, nothing.
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
        if fails && said.is_none() {
            return Ok(());
        }
        let said = self.here(said.unwrap_or_default());
        expect_equal(&said, &String::from_utf8_lossy(printed))
    }
}
