//! The schema of Kubernetes' objects, as its API servers publish it, where what
//! is unknown is refused.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::spawn_blocking;
use yorkies_tests::{target_folder, workspace};

/// The package that has it.
const REQUIREMENTS: &str = "tests/kubernetes/requirements.txt";

/// The oldest version for which the manifests are made, and the newest known.
pub(crate) const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// Prints the definitions of a version out of a package.
const PRINT: &str = "
import sys, zipfile
path = f'kubernetes_validate/kubernetes-json-schema/v{sys.argv[2]}.0-local-strict/_definitions.json'
sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(path))
";

/// The schema of one version.
pub(crate) struct Schema {
    version: &'static str,
    definitions: Value,
}

impl Schema {
    pub(crate) async fn new(version: &'static str) -> Result<Self> {
        let package = package().await?;
        let package = package.to_str().context("a path that is no text")?;
        let text = python(&["-c", PRINT, package, version]).await?;
        let mut all: Value = serde_json::from_str(&text)?;
        let definitions = all["$defs"].take();
        Ok(Self {
            version,
            definitions,
        })
    }

    /// Fails with all that is wrong with the object, which says of what kind it is.
    pub(crate) fn expect_valid(&self, object: &Value) -> Result<()> {
        let (group, kind) = (&object["apiVersion"], &object["kind"]);
        let of_kind =
            json!({ "group": group_of(group), "version": version_of(group), "kind": kind });
        let all = self.definitions.as_object().context("no definitions")?;
        let known = all.iter().find(|(_, definition)| {
            let kinds = definition["x-kubernetes-group-version-kind"].as_array();
            kinds.is_some_and(|kinds| kinds.contains(&of_kind))
        });
        let version = self.version;
        let (name, _) = known.with_context(|| format!("{version} has no {of_kind}"))?;
        let errors = self.validator(name)?;
        let errors: Vec<_> = errors
            .iter_errors(object)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(
            errors.is_empty(),
            "{version}: {kind}: {}",
            errors.join("\n")
        );
        Ok(())
    }

    fn validator(&self, name: &str) -> Result<Validator> {
        let schema = json!({ "$ref": format!("#/$defs/{name}"), "$defs": self.definitions });
        Ok(jsonschema::draft202012::new(&schema)?)
    }
}

fn group_of(api_version: &Value) -> &str {
    let text = api_version.as_str().unwrap_or_default();
    text.split_once('/').map_or("", |(group, _)| group)
}

fn version_of(api_version: &Value) -> &str {
    let text = api_version.as_str().unwrap_or_default();
    text.split_once('/').map_or(text, |(_, version)| version)
}

/// Downloaded on first use.
async fn package() -> Result<PathBuf> {
    let requirements = workspace().join(REQUIREMENTS);
    let text = fs::read_to_string(&requirements)?;
    let package = text.lines().find(|line| line.contains("=="));
    let package = package.and_then(|line| line.split_whitespace().next());
    let package = package.context("no package")?;
    let folder = target_folder()?.join("python").join(package);
    // Several test processes may come here at once; one downloads.
    let lock = File::open(&requirements)?;
    let _downloading = spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if !folder.exists() {
        let unfinished = folder.with_extension("unfinished");
        let (file, into) = (requirements.to_str(), unfinished.to_str());
        let (file, into) = file.zip(into).context("a path that is no text")?;
        python(&[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "--requirement",
            file,
            "--dest",
            into,
        ])
        .await?;
        fs::rename(unfinished, &folder)?;
    }
    let entry = fs::read_dir(folder)?.next().context("no package")??;
    Ok(entry.path())
}

async fn python(arguments: &[&str]) -> Result<String> {
    let output = Command::new("python3")
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "python3: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}
