//! A real etcd, as it comes from Debian.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sharding::Member as Entry;
use tokio::process::Command as AsyncCommand;

use crate::{Process, eventually, own_address};

/// Where members are registered, as by default in the configuration.
const PREFIX: &str = "/yorkies/members/";

/// Elections are quicker than by default, so that a lease can be as short as a
/// second: etcd grants none shorter than one and a half elections.
const PACE: [&str; 4] = ["--heartbeat-interval", "50", "--election-timeout", "500"];

/// Certificates, as PEM files: of a server that asks its clients for theirs,
/// and of such a client.
#[derive(Debug, Clone)]
pub struct EtcdTls {
    /// Who vouches for both.
    pub ca: PathBuf,
    /// The server's certificate and private key, with its address.
    pub server: [PathBuf; 2],
    /// The client's.
    pub client: [PathBuf; 2],
}

/// Servers of etcd that form one cluster, each with a folder of its own. They
/// can be killed and started again, at the address that they had.
#[derive(Debug)]
pub struct Etcd {
    folder: PathBuf,
    tls: Option<EtcdTls>,
    /// `NAME:PASSWORD` of whoever registers members.
    user: Option<String>,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    name: String,
    clients: SocketAddr,
    peers: SocketAddr,
    process: Option<Process>,
}

impl Etcd {
    /// Starts one server.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_cluster(folder, 1).await
    }

    /// Starts that many servers.
    pub async fn start_cluster(folder: &Path, count: usize) -> Result<Self> {
        let mut this = Self::new(folder, count)?;
        // They serve once most of them are there.
        for index in 0..count {
            this.spawn(index)?;
        }
        for server in &mut this.servers {
            server.serving().await?;
        }
        Ok(this)
    }

    /// Starts one that speaks TLS with clients that it knows, with certificates
    /// for its address.
    pub async fn start_with_tls(
        folder: &Path,
        certify: impl FnOnce(IpAddr) -> Result<EtcdTls>,
    ) -> Result<Self> {
        let mut this = Self::new(folder, 1)?;
        this.tls = Some(certify(this.servers[0].clients.ip())?);
        this.restart(0).await?;
        Ok(this)
    }

    fn new(folder: &Path, count: usize) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            tls: None,
            user: None,
            servers: (0..count).map(Server::new).collect::<Result<_>>()?,
        })
    }

    /// Where clients find the servers, as the configuration wants it.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let servers = self.servers.iter();
        servers
            .map(|server| format!("{scheme}://{}", server.clients))
            .collect()
    }

    /// What it shows and wants.
    pub fn tls(&self) -> Result<&EtcdTls> {
        self.tls.as_ref().context("this etcd speaks no TLS")
    }

    /// Kills a server.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        let process = self.servers[index].process.take();
        process.map_or(Ok(()), Process::kill)
    }

    /// Starts one again that was killed.
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        self.spawn(index)?;
        self.servers[index].serving().await
    }

    /// Where a server that was killed is started next, which its clients are
    /// not told.
    pub fn move_away(&mut self, index: usize) -> Result<SocketAddr> {
        let left = self.servers[index].clients;
        self.servers[index].clients = own_address()?;
        Ok(left)
    }

    /// Gives a server that was killed an address back that it had.
    pub fn move_back(&mut self, index: usize, clients: SocketAddr) {
        self.servers[index].clients = clients;
    }

    /// Has a server that was killed forget everything.
    pub fn forget(&self, index: usize) -> Result<()> {
        Ok(fs::remove_dir_all(self.data(index))?)
    }

    /// From now on only users are let in: `yorkies` may read what is under the
    /// prefix, with that password, and `root`, as whom members are registered
    /// here, may do anything.
    pub async fn want_users(&mut self, password: &str) -> Result<()> {
        let root = "root:of-all-evil";
        for command in [
            &["user", "add", root][..],
            &["user", "grant-role", "root", "root"],
            &["role", "add", "reader"],
            &[
                "role",
                "grant-permission",
                "reader",
                "read",
                PREFIX,
                "--prefix=true",
            ],
            &["user", "add", &format!("yorkies:{password}")],
            &["user", "grant-role", "yorkies", "reader"],
            &["auth", "enable"],
        ] {
            self.ctl(command).await?;
        }
        self.user = Some(root.to_owned());
        Ok(())
    }

    /// Registers a member under its id, on that lease if there is one.
    pub async fn register(&self, entry: &Entry, lease: Option<&str>) -> Result<()> {
        let value = serde_json::json!({ "address": entry.address, "weight": entry.weight });
        self.put(&entry.id, &value.to_string(), lease).await
    }

    /// Gives a key under the prefix that value.
    pub async fn put(&self, key: &str, value: &str, lease: Option<&str>) -> Result<()> {
        let key = format!("{PREFIX}{key}");
        let mut command = vec!["put", &key, value];
        let lease = lease.map(|lease| format!("--lease={lease}"));
        command.extend(lease.as_deref());
        self.change(&command).await
    }

    /// Removes that key under the prefix; all of them with an empty one.
    pub async fn remove(&self, key: &str) -> Result<()> {
        let all = if key.is_empty() {
            "--prefix=true"
        } else {
            "--prefix=false"
        };
        let key = format!("{PREFIX}{key}");
        self.change(&["del", &key, all]).await
    }

    /// Without a leader, as when one was just lost, etcd takes nothing.
    async fn change(&self, command: &[&str]) -> Result<()> {
        let change = eventually("taken by etcd", async || self.ctl(command).await);
        change.await.map(drop)
    }

    /// A lease of that many seconds, which nobody keeps.
    pub async fn lease(&self, seconds: u32) -> Result<String> {
        let granted = self.ctl(&["lease", "grant", &seconds.to_string()]).await?;
        let id = granted.split_whitespace().nth(1);
        Ok(id.with_context(|| granted.clone())?.to_owned())
    }

    /// Has etcd forget all of its history.
    pub async fn compact(&self) -> Result<()> {
        let status = self
            .ctl(&["endpoint", "status", "--write-out=json"])
            .await?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let revision = status[0]["Status"]["header"]["revision"].as_u64();
        let revision = revision.with_context(|| status.to_string())?;
        self.ctl(&["compaction", &revision.to_string()])
            .await
            .map(drop)
    }

    /// Runs `etcdctl` on the servers that run.
    async fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let running = self.endpoints().into_iter().zip(&self.servers);
        let running = running.filter(|(_, server)| server.process.is_some());
        let endpoints: Vec<_> = running.map(|(endpoint, _)| endpoint).collect();
        let mut command = AsyncCommand::new("etcdctl");
        command.env("ETCDCTL_API", "3").kill_on_drop(true);
        command.args(["--endpoints", &endpoints.join(",")]);
        if let Some(tls) = &self.tls {
            command.arg("--cacert").arg(&tls.ca);
            command.arg("--cert").arg(&tls.client[0]);
            command.arg("--key").arg(&tls.client[1]);
        }
        if let Some(user) = &self.user {
            command.args(["--user", user]);
        }
        let output = command.args(arguments).output().await;
        let output = output.context("etcdctl is missing (Debian: apt-get install etcd-client)")?;
        let (out, error) = (output.stdout, String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "etcdctl {arguments:?}: {error}");
        Ok(String::from_utf8(out)?)
    }

    fn data(&self, index: usize) -> PathBuf {
        self.folder
            .join(format!("{}.data", self.servers[index].name))
    }

    fn spawn(&mut self, index: usize) -> Result<()> {
        let all = self.servers.iter();
        let all: Vec<_> = all
            .map(|server| format!("{}=http://{}", server.name, server.peers))
            .collect();
        let Server { name, peers, .. } = &self.servers[index];
        let (clients, peers) = (&self.endpoints()[index], format!("http://{peers}"));
        let mut command = Command::new("etcd");
        command.args(["--name", name, "--logger", "zap", "--data-dir"]);
        command.arg(self.data(index)).args(PACE);
        command.args([
            "--listen-client-urls",
            clients,
            "--advertise-client-urls",
            clients,
        ]);
        command.args([
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
        ]);
        command.args(["--initial-cluster", &all.join(",")]);
        if let Some(tls) = &self.tls {
            command.arg("--trusted-ca-file").arg(&tls.ca);
            command.arg("--cert-file").arg(&tls.server[0]);
            command.arg("--key-file").arg(&tls.server[1]);
            command.arg("--client-cert-auth");
        }
        let process = Process::spawn(command, name, &self.folder);
        let missing = "etcd is missing (Debian: apt-get install etcd-server)";
        self.servers[index].process = Some(process.context(missing)?);
        Ok(())
    }
}

impl Server {
    fn new(number: usize) -> Result<Self> {
        Ok(Self {
            name: format!("etcd-{number}"),
            clients: own_address()?,
            peers: own_address()?,
            process: None,
        })
    }

    async fn serving(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("etcd is down")?;
        let is_ready = |line: &str| line.contains("serving client traffic");
        process
            .line("serving", |line| is_ready(line).then_some(()))
            .await
    }
}
