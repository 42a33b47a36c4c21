//! Runs Compose, of version 1 or 2, as a project of its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use yorkies_tests::{Scratch, workspace};

/// Names the command; default: `docker compose` if there is one, else
/// `docker-compose`.
const COMPOSE: &str = "COMPOSE";

/// What an image may have beyond its base, in bytes.
const MOST: u64 = 40_000_000;

/// The user of the containers, without any right of its own.
const USER: &str = "10001:10001";

/// A `docker` that knows Compose, of whichever version. It stands in a folder
/// before those in which it looks for the other.
const DOCKER: &str = "#!/bin/sh\nPATH=\"${PATH#*:}\"\n\
    if [ \"$1\" = compose ]; then shift; exec COMPOSE \"$@\"; fi\nexec docker \"$@\"\n";

/// Building the images takes the longest.
const LIMIT: Duration = Duration::from_mins(25);

/// One compose file as a project; its containers and volumes go with it.
pub(super) struct Compose {
    command: Vec<String>,
    file: String,
    project: String,
    port: u16,
    started: std::cell::Cell<bool>,
    programs: Scratch,
}

/// Runs a test that is too long for the limit of the others.
pub(super) fn run(test: impl Future<Output = Result<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(test));
    if let Err(error) = outcome {
        panic!("{error:?}");
    }
}

impl Compose {
    pub(super) fn new(file: &str) -> Result<Self> {
        let command: Vec<String> = match env::var(COMPOSE) {
            Ok(command) => command.split(' ').map(str::to_owned).collect(),
            Err(_) => found()?,
        };
        let programs = Scratch::new("compose")?;
        let docker = programs.path().join("docker");
        fs::write(&docker, DOCKER.replace("COMPOSE", &command.join(" ")))?;
        fs::set_permissions(&docker, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            command,
            file: file.to_owned(),
            project: format!("yorkies-test-{}", std::process::id()),
            port: TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
            started: false.into(),
            programs,
        })
    }

    /// What a command prints that is written as in a shell.
    pub(super) async fn shell(&self, line: &str) -> Result<String> {
        self.started.set(true);
        let mut command = Command::new("bash");
        let mut path = OsString::from(self.programs.path());
        path.push(":");
        path.push(env::var_os("PATH").context("no PATH")?);
        command.args(["-euo", "pipefail", "-c", line]);
        command.env("PATH", path);
        self.output(command).await
    }

    /// What it prints; its errors go to ours.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.output(self.command(arguments)).await
    }

    async fn output(&self, command: Command) -> Result<String> {
        let what = format!("{:?}", command.get_args().collect::<Vec<&OsStr>>());
        let mut command = tokio::process::Command::from(self.of_project(command));
        let output = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(LIMIT, output).await;
        let output = output.with_context(|| format!("{what} does not end"))??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let status = output.status;
        ensure!(status.success(), "{what}: {status}: {text}");
        Ok(text)
    }

    /// The body of an answer through the published port.
    pub(super) async fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let output = tokio::process::Command::new("curl")
            .args(["-sSf", "-m", "5", &url])
            .output()
            .await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{url}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments);
        command
    }

    fn of_project(&self, mut command: Command) -> Command {
        command
            .current_dir(workspace())
            .env("COMPOSE_FILE", &self.file)
            .env("COMPOSE_PROJECT_NAME", &self.project)
            .env("YORKIES_PORT", self.port.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        command
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if self.started.get() {
            let down = self.command(&["down", "-v", "--remove-orphans"]);
            let ended = self.of_project(down).stdout(Stdio::null()).status();
            assert!(
                ended.is_ok_and(|status| status.success()),
                "containers are left over"
            );
        }
    }
}

/// Of the image that was built of that package.
pub(super) fn expect_small_and_unprivileged(package: &str) -> Result<()> {
    let base = env::var("BASE_IMAGE").unwrap_or_else(|_| "debian:bookworm-slim".to_owned());
    let registry = env::var("REGISTRY").unwrap_or_default();
    let (base, _) = size_and_user(&format!("{registry}{base}"))?;
    let image = format!("yorkies/{package}:{}", env!("CARGO_PKG_VERSION"));
    let (size, user) = size_and_user(&image)?;
    let beyond = size.saturating_sub(base);
    println!("{image} has {beyond} bytes beyond its base");
    ensure!(beyond < MOST, "{image} has {beyond} bytes beyond its base");
    ensure!(user == USER, "{image} runs as {user:?}");
    Ok(())
}

fn size_and_user(image: &str) -> Result<(u64, String)> {
    let format = "{{.Size}} {{.Config.User}}";
    let output = Command::new("docker")
        .args(["image", "inspect", image, "--format", format])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let (size, user) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let size = size.parse();
    Ok((
        size.with_context(|| format!("no image {image}"))?,
        user.to_owned(),
    ))
}

fn found() -> Result<Vec<String>> {
    for command in [&["docker", "compose"][..], &["docker-compose"]] {
        let version = Command::new(command[0])
            .args(&command[1..])
            .arg("version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if version.is_ok_and(|status| status.success()) {
            return Ok(command.iter().map(ToString::to_string).collect());
        }
    }
    anyhow::bail!(
        "docker compose is missing: apt-get install docker-compose, or name it in COMPOSE"
    )
}
