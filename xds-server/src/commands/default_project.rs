//! Learns the public key of Yorkie's default project, which the first start of
//! a cluster draws at random.
//!
//! The calls are those of Yorkie 0.7.17's `AdminService`, in Connect's JSON:
//! `LogIn` answers with a token, `GetProject` wants it as
//! `authorization: Bearer`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::json;
use sharding::check_public_key;

use crate::client::{ClientError, ServerUrl};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Whom to ask, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct DefaultProject {
    /// Any server of the cluster, not the router: it may wait for this key.
    #[arg(long, env = "YORKIES_DEFAULT_PROJECT_SERVER", value_name = "URL")]
    server: ServerUrl,
    /// Name of an administrator (Yorkie's `--backend-admin-user`).
    #[arg(long, env = "YORKIES_DEFAULT_PROJECT_USER", default_value = "admin")]
    user: String,
    /// File with the administrator's password; without one it is `admin`, as
    /// Yorkie has it unless told otherwise.
    #[arg(
        long,
        env = "YORKIES_DEFAULT_PROJECT_PASSWORD_FILE",
        value_name = "FILE"
    )]
    password_file: Option<PathBuf>,
    /// The project that requests without an API key belong to.
    #[arg(
        long,
        env = "YORKIES_DEFAULT_PROJECT_PROJECT",
        default_value = "default"
    )]
    project: String,
    /// How long to go on asking while nobody answers.
    #[arg(long, env = "YORKIES_DEFAULT_PROJECT_WAIT", value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Where to write the key, for `default_project_file`; without one it is printed.
    #[arg(long, env = "YORKIES_DEFAULT_PROJECT_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Session {
    token: String,
}

#[derive(Debug, Deserialize)]
struct Found {
    project: Project,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Project {
    public_key: String,
}

/// Prints or writes the key.
pub(crate) fn default_project(asked: &DefaultProject) -> anyhow::Result<()> {
    let password = match &asked.password_file {
        Some(file) => password_in(file)?,
        None => "admin".to_owned(),
    };
    let until = Instant::now() + asked.wait;
    let key = loop {
        match learn(asked, &password) {
            Err(error) if error.is_passing() && Instant::now() + PAUSE < until => sleep(PAUSE),
            learned => break learned?,
        }
    };
    check_public_key(&asked.project, &key)?;
    match &asked.output {
        Some(file) => write(file, &key),
        None => Ok(writeln!(io::stdout(), "{key}")?),
    }
}

fn learn(asked: &DefaultProject, password: &str) -> Result<String, ClientError> {
    let DefaultProject {
        server,
        user,
        project,
        ..
    } = asked;
    let login = json!({"username": user, "password": password});
    let session: Session = server.post("/yorkie.v1.AdminService/LogIn", None, &login)?;
    let found: Found = server.post(
        "/yorkie.v1.AdminService/GetProject",
        Some(&session.token),
        &json!({"name": project}),
    )?;
    Ok(found.project.public_key)
}

fn password_in(file: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("{}: is empty", file.display());
    }
    Ok(password.to_owned())
}

/// Replaces the file at once: whoever reads it finds all of the key, or that of
/// before.
fn write(file: &Path, key: &str) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let written = || -> io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(new, "{key}")?;
        new.persist(file)?;
        Ok(())
    };
    written().with_context(|| format!("{}: cannot be written", file.display()))
}
