//! The control plane as a process.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use rustix::process::Signal;
use serde_json::Value;
use sharding::{Assignment, Member as Entry, Policy, Roster};

use crate::artifacts::{filter_module, xds_server_binary};
use crate::process::run_to_end;
use crate::{
    Client, LogLine, MembersFile, Mode, Process, Protocol, Reply, Request, assignment, eventually,
};

mod sources;

/// The events that tell where it listens.
const XDS: &str = "xDS server listening";
const ADMIN: &str = "Admin interface listening";

/// What allows changes.
const TOKEN_FILE: &str = "token";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What tests choose of the control plane's configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How keys are spread.
    pub policy: Policy,
    /// What the members speak: `h2c`, `http1` or `downstream`.
    pub upstream: &'static str,
    /// Whether proxies get their listener from the control plane.
    pub listener: bool,
    /// Certificate chain and private key of that listener, as PEM files.
    pub tls: Option<[PathBuf; 2]>,
    /// Where its admin interface is; at port 0, elsewhere after each start.
    pub admin: SocketAddr,
    /// Where members come from, as it stands in the file.
    pub registry: String,
    /// Where it keeps its state; relative to its own folder.
    pub state_file: PathBuf,
    /// Where proxies have the filter's module, if that is not where it is.
    pub module_on_proxy: Option<PathBuf>,
    /// Further settings of `xds`, as they stand in the file.
    pub xds: String,
    /// Further settings, as they stand in the file.
    pub more: &'static str,
    /// What `xds-server bootstrap` is told more; `{node}` is the node's name.
    pub bootstrap: Vec<String>,
    /// What is added to its environment.
    pub environment: Vec<(&'static str, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            upstream: "h2c",
            listener: true,
            tls: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            registry: "{ file: members.yaml }".to_owned(),
            state_file: PathBuf::from("state.json"),
            module_on_proxy: None,
            xds: String::new(),
            more: "",
            bootstrap: Vec::new(),
            environment: Vec::new(),
        }
    }
}

/// A control plane with a folder of its own. It can be killed and started
/// again, and then serves at the address that it had.
#[derive(Debug)]
pub struct ControlPlane {
    folder: PathBuf,
    settings: Settings,
    members: MembersFile,
    entries: Vec<Entry>,
    /// Where it was told to listen.
    listen: SocketAddr,
    address: SocketAddr,
    admin: SocketAddr,
    process: Option<Process>,
}

impl ControlPlane {
    pub(crate) async fn start(folder: PathBuf, settings: Settings) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut this = Self {
            members: MembersFile::new(&folder),
            entries: Vec::new(),
            folder,
            settings,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            process: None,
        };
        this.restart().await?;
        Ok(this)
    }

    /// Its members file.
    #[must_use]
    pub fn members(&self) -> &MembersFile {
        &self.members
    }

    /// Replaces its members file, and expects these members from now on.
    pub fn edit(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.members.replace(&Roster::new(entries.clone())?)?;
        self.entries = entries;
        Ok(())
    }

    /// Expects these members from now on, whatever its file says: others do not
    /// serve.
    pub fn expect_members(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
    }

    /// The file with what allows changes.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.folder.join(TOKEN_FILE)
    }

    /// The header that shows it.
    #[must_use]
    pub fn authorization() -> String {
        format!("Bearer {TOKEN}")
    }

    /// Runs a subcommand that asks or orders something of it.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let admin = self.admin_url();
        let server = ["--admin", &admin, "--token-file", TOKEN_FILE];
        run_xds_server(&self.folder, &[arguments, &server].concat()).await
    }

    /// The members that it was given last.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How it spreads keys.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.settings.policy
    }

    /// The assignment that it has to lead to; its own epoch means nothing.
    pub fn expected(&self) -> Result<Assignment> {
        assignment(self.settings.policy, self.entries.clone())
    }

    /// Its state file.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.folder.join(&self.settings.state_file)
    }

    /// Where proxies find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its process.
    pub fn process_id(&self) -> Result<u32> {
        let process = self.process.as_ref();
        Ok(process.context("the control plane is down")?.id())
    }

    /// Its admin interface; unless the settings say where it is, it has another
    /// address after each start.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// What its admin interface says of everything.
    pub async fn status(&self) -> Result<Value> {
        self.admin("/v1/status").await
    }

    /// The assignments that it has handed out last, by epoch.
    pub async fn published(&self) -> Result<BTreeMap<u64, Assignment>> {
        let mut present = self.admin("/v1/assignment").await?;
        let mut all = present["past"].take();
        let all = all.as_array_mut().context("no past")?;
        all.push(present);
        all.iter().map(published).collect()
    }

    /// The metric of that name, with its labels as they stand there.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let metrics = self.get("/metrics").await?.text();
        let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.find_map(|value| value.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {name}"))?.parse()?)
    }

    /// What its admin interface says at that path.
    pub async fn admin(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.get(path).await?.body)?)
    }

    async fn get(&self, path: &str) -> Result<Reply> {
        let client = Client::new(self.admin, Protocol::Http1);
        let reply = client.send(&Request::new(Method::GET, path)).await?;
        ensure!(reply.status.is_success(), "{}", reply.text());
        Ok(reply)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref();
        process.context("the control plane is down")?.signal(signal)
    }

    /// Kills it; the members file can still be edited.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Kills it, and returns what it has logged since it was last started.
    pub async fn last_words(&mut self) -> Result<Vec<LogLine>> {
        let mut process = self.process.take().context("the control plane is down")?;
        process.signal(Signal::KILL)?;
        process.ended().await?;
        lines(&process)
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let mut process = self.process.take().context("the control plane is down")?;
        process.signal(Signal::TERM)?;
        process.ended().await
    }

    /// Starts it, after killing it if it runs, and waits until it listens.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.listen = self.address;
        self.write_configuration()?;
        let (mut process, address) = eventually("an address to listen on", async || {
            let mut process = self.spawn()?;
            match process
                .line("listening", |line| listening_at(line, XDS))
                .await
            {
                // While it was away its port could become the other end of any connection.
                Err(error) if format!("{error:#}").contains("in use") => Err(error),
                done => Ok(done.map(|address| (process, address))),
            }
        })
        .await??;
        let admin = process.line("showing itself", |line| listening_at(line, ADMIN));
        self.admin = admin.await?;
        self.process = Some(process);
        self.address = address;
        Ok(())
    }

    /// Like [`ControlPlane::restart`], with keys spread in another way from then on.
    pub async fn restart_with(&mut self, policy: Policy) -> Result<()> {
        self.settings.policy = policy;
        self.restart().await
    }

    /// Like [`ControlPlane::restart`], configured otherwise from then on.
    pub async fn reconfigure(&mut self, settings: Settings) -> Result<()> {
        self.settings = settings;
        self.restart().await
    }

    /// Configures it otherwise while it runs, and waits until it says that it is.
    pub async fn reload(&mut self, settings: Settings) -> Result<()> {
        let changes = |log: &[LogLine]| {
            let is_change = |line: &&LogLine| line.message() == "Configuration changed";
            log.iter().filter(is_change).count()
        };
        let before = changes(&self.log()?);
        self.settings = settings;
        self.write_configuration()?;
        self.signal(Signal::HUP)?;
        eventually("configured otherwise", async || {
            let log = self.log()?;
            let last = log.last().map(LogLine::text);
            ensure!(changes(&log) > before, "last is {last:?}");
            Ok(())
        })
        .await
    }

    /// The events of its log since it was last started.
    pub fn log(&self) -> Result<Vec<LogLine>> {
        lines(self.process.as_ref().context("the control plane is down")?)
    }

    /// Waits until it has logged an event with all these parts in message and
    /// fields.
    pub async fn logged(&self, parts: &[impl AsRef<str> + Display]) -> Result<LogLine> {
        eventually("in the log of the control plane", async || {
            let has_all = |line: &LogLine| {
                let text = line.text();
                parts.iter().all(|part| text.contains(part.as_ref()))
            };
            if let Some(line) = self.log()?.into_iter().find(has_all) {
                return Ok(line);
            }
            let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
            bail!("no event has {parts:?}")
        })
        .await
    }

    /// The bootstrap for an Envoy that it serves.
    pub async fn bootstrap(&self, mode: Mode, node: &str) -> Result<String> {
        self.bootstrap_through(self.address, mode, node).await
    }

    /// The same for one that reaches it at that address.
    pub async fn bootstrap_through(
        &self,
        address: SocketAddr,
        mode: Mode,
        node: &str,
    ) -> Result<String> {
        let address = address.to_string();
        let mut arguments = vec!["bootstrap", "--config", "xds-server.yaml"];
        arguments.extend(["--mode", mode.name(), "--node", node]);
        arguments.extend(["--xds", &address, "--admin", "127.0.0.1:0"]);
        let of_node = |text: &String| text.replace("{node}", node);
        let further: Vec<_> = self.settings.bootstrap.iter().map(of_node).collect();
        arguments.extend(further.iter().map(String::as_str));
        let output = run_xds_server(&self.folder, &arguments).await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "no bootstrap: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Its configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("xds-server.yaml")
    }

    fn write_configuration(&self) -> Result<()> {
        let Settings {
            policy,
            upstream,
            listener,
            tls,
            admin,
            registry,
            state_file,
            module_on_proxy,
            xds,
            more,
            bootstrap: _,
            environment: _,
        } = &self.settings;
        let tls = tls.as_ref().map_or_else(String::new, |[chain, key]| {
            let (chain, key) = (chain.display(), key.display());
            format!(", tls: {{ certificate_chain: \"{chain}\", private_key: \"{key}\" }}")
        });
        let listener = if *listener {
            format!("listener: {{ address: \"127.0.0.1:0\"{tls} }}\n")
        } else {
            String::new()
        };
        let on_proxy = module_on_proxy.as_ref().map_or_else(String::new, |path| {
            format!(", module_on_proxy: \"{}\"", path.display())
        });
        let separator = if xds.is_empty() { "" } else { ", " };
        let text = format!(
            "xds: {{ listen: \"{}\"{separator}{xds} }}\n\
             admin: {{ listen: \"{admin}\", token_file: {TOKEN_FILE} }}\n\
             state_file: \"{}\"\n\
             policy: {policy}\n\
             registry: {registry}\n\
             {listener}\
             upstream: {{ protocol: {upstream} }}\n\
             filter: {{ module: \"{}\"{on_proxy} }}\n\
             {more}",
            self.listen,
            state_file.display(),
            filter_module()?.display(),
        );
        fs::write(self.folder.join(TOKEN_FILE), TOKEN)?;
        Ok(fs::write(self.configuration(), text)?)
    }

    fn spawn(&self) -> Result<Process> {
        let mut command = Command::new(xds_server_binary()?);
        command
            .args(["serve", "--log-format", "json", "--config"])
            .arg(self.configuration())
            .envs(self.settings.environment.iter().cloned());
        Process::spawn(command, "xds-server", &self.folder)
    }
}

fn published(json: &Value) -> Result<(u64, Assignment)> {
    let epoch = json["epoch"].as_u64().context("no epoch")?;
    let policy = json["policy"].as_str().context("no policy")?.parse()?;
    let roster = serde_json::from_value(json["members"].clone())?;
    Ok((epoch, Assignment::new(epoch, policy, roster)))
}

fn lines(process: &Process) -> Result<Vec<LogLine>> {
    let output = process.output()?;
    Ok(output.lines().filter_map(LogLine::parse).collect())
}

fn listening_at(line: &str, message: &str) -> Option<SocketAddr> {
    let line = LogLine::parse(line)?;
    let is_it = line.message() == message;
    line.field("address").filter(|_| is_it)?.parse().ok()
}

/// Runs a subcommand that ends by itself, in that folder.
pub async fn run_xds_server(folder: &Path, arguments: &[&str]) -> Result<Output> {
    run_to_end(&xds_server_binary()?, folder, arguments).await
}
