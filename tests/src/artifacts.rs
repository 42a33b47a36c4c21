//! What is under test: the control plane's binary, the filter's module, Envoy.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use filter_module::{Keep, store, strip};
use serde_json::Value;

/// Environment variables that name something built elsewhere, such as a
/// release, in place of what the workspace builds.
const XDS_SERVER: &str = "YORKIES_XDS_SERVER";
const FILTER: &str = "YORKIES_FILTER";
const DOCUMENT_SERVER: &str = "YORKIES_DOCUMENT_SERVER";

/// An artifact is found once a process; its error is kept as text because
/// every test of the process must see it.
type Found = OnceLock<Result<PathBuf, String>>;

/// Builds and downloads whatever tests may need, so that none of them pays for
/// it with its own time. What fails here fails again where it is needed.
pub(crate) fn prepare() {
    for artifact in [
        xds_server_binary,
        filter_module,
        envoy_binary,
        document_server_binary,
    ] {
        let _ = artifact();
    }
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Cargo's target folder, for what the tests leave there.
pub fn target_folder() -> Result<PathBuf> {
    let folder =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    std::path::absolute(&folder).with_context(|| format!("no target folder {}", folder.display()))
}

/// The binary `xds-server`, built from the workspace as it is now.
pub fn xds_server_binary() -> Result<PathBuf> {
    static BINARY: Found = OnceLock::new();
    once(&BINARY, || {
        given_or(XDS_SERVER, || {
            cargo_build(&["-p", "xds-server", "--bin", "xds-server"], "xds-server")
        })
    })
}

/// The filter's wasm module, built from the workspace as it is now.
pub fn filter_module() -> Result<PathBuf> {
    static MODULE: Found = OnceLock::new();
    once(&MODULE, || {
        let arguments = [
            "-p",
            "yorkies-filter",
            "--target",
            "wasm32-wasip1",
            "--profile",
            "filter",
        ];
        given_or(FILTER, || {
            let linked = cargo_build(&arguments, "yorkies_filter.wasm")?;
            ship(&linked, "yorkies-filter")
        })
    })
}

/// The same with a fault: a request with the header `x-crash` takes its VM
/// down. Without optimisation, where its file is nobody else's.
pub fn crashing_filter_module() -> Result<PathBuf> {
    static MODULE: Found = OnceLock::new();
    once(&MODULE, || {
        let arguments = [
            "-p",
            "yorkies-filter",
            "--target",
            "wasm32-wasip1",
            "--features",
            "crash",
        ];
        let linked = cargo_build(&arguments, "yorkies_filter.wasm")?;
        ship(&linked, "crashing-filter")
    })
}

/// The binary `document-server`, built from its sources as they are now.
pub fn document_server_binary() -> Result<PathBuf> {
    static BINARY: Found = OnceLock::new();
    once(&BINARY, || {
        given_or(DOCUMENT_SERVER, || {
            let manifest = "tests/document-server/Cargo.toml";
            cargo_build(&["--manifest-path", manifest], "document-server")
        })
    })
}

/// An Envoy of the version under test, downloaded if need be (`envoy/get`).
pub fn envoy_binary() -> Result<PathBuf> {
    static BINARY: Found = OnceLock::new();
    once(&BINARY, || {
        let output = run(Command::new("bash").arg(workspace().join("envoy/get")))?;
        let path = String::from_utf8(output.stdout).context("envoy/get prints no path")?;
        Ok(PathBuf::from(path.trim_end()))
    })
}

/// Chromium, wherever this machine has it (`tests/chromium`).
pub fn chromium_binary() -> Result<PathBuf> {
    let output = run(Command::new("bash").arg(workspace().join("tests/chromium")))?;
    let path = String::from_utf8(output.stdout).context("tests/chromium prints no path")?;
    Ok(PathBuf::from(path.trim_end()))
}

/// Makes of a linked module what is shipped, as `make filter` does.
fn ship(linked: &Path, name: &str) -> Result<PathBuf> {
    let keep: Keep = fs::read_to_string(workspace().join("filter/callbacks.txt"))?.parse()?;
    let stripped = strip(&fs::read(linked)?, &keep)?;
    let stored = store(&stripped.wasm, &target_folder()?.join("filter"), name)?;
    Ok(stored.file)
}

fn once(found: &Found, find: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    found
        .get_or_init(|| find().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn given_or(variable: &str, build: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    match env::var_os(variable).map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(std::path::absolute(path)?),
        Some(path) => bail!("{variable} names {}, which is no file", path.display()),
        None => build(),
    }
}

/// Builds and returns the artifact whose file has that name.
fn cargo_build(arguments: &[&str], file_name: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = run(Command::new(cargo)
        .arg("build")
        .args(arguments)
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .current_dir(workspace()))?;
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|path| path.file_name().is_some_and(|name| name == file_name))
        .with_context(|| format!("cargo build {arguments:?} makes no file {file_name:?}"))
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} does not start"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
