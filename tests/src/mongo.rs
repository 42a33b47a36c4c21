//! Yorkie's database, and rows in it as Yorkie's servers write them.
//!
//! It is no `MongoDB`, of which there is no package to be had: `SecantusDB` speaks its
//! protocol, has its commands and keeps what it is told on disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use rustix::process::Signal;
use sharding::Member as Entry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::python::packages;
use crate::{Process, eventually, own_address, workspace};

/// Its name in Yorkie's own defaults.
const DATABASE: &str = "yorkie-meta";

/// A server that can be killed, stopped and started again at its address, with
/// what it was told before.
#[derive(Debug)]
pub struct Mongo {
    folder: PathBuf,
    address: SocketAddr,
    user: Option<[String; 2]>,
    process: Option<Process>,
}

/// Servers of Yorkie, as far as their rows tell: each has a heartbeat twice a
/// second. None has one any more when this is dropped, but their rows stay.
#[derive(Debug)]
pub struct Heartbeats(JoinHandle<()>);

impl Mongo {
    /// Starts one that lets everybody in.
    pub async fn start(folder: &Path) -> Result<Self> {
        let mut this = Self {
            folder: folder.to_owned(),
            address: own_address()?,
            user: None,
            process: None,
        };
        this.restart().await?;
        Ok(this)
    }

    /// Where it is, without the password if it wants one.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("mongodb://{}", self.address)
    }

    /// Where it is, for a user with that password.
    #[must_use]
    pub fn uri_of(&self, user: &str, password: &str) -> String {
        format!(
            "mongodb://{user}:{password}@{}/?authSource=admin",
            self.address
        )
    }

    /// From now on only users are let in, of whom there is that one.
    pub async fn want_user(&mut self, user: &str, password: &str) -> Result<()> {
        let role = doc! { "role": "readWrite", "db": DATABASE };
        let create = doc! { "createUser": user, "pwd": password, "roles": [role] };
        let admin = self.client().await?.database("admin");
        admin.run_command(create).await?;
        self.kill()?;
        self.user = Some([user.to_owned(), password.to_owned()]);
        self.restart().await
    }

    /// Kills it.
    pub fn kill(&mut self) -> Result<()> {
        let process = self.process.take();
        process.map_or(Ok(()), Process::kill)
    }

    /// Starts it again after it was killed.
    pub async fn restart(&mut self) -> Result<()> {
        let requirements = workspace().join("tests/mongo/requirements.txt");
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", packages(&requirements).await?);
        command.args(["-m", "secantus", "--standalone", "--sync-on-commit"]);
        command.args(["--host", &self.address.ip().to_string()]);
        command.args(["--port", &self.address.port().to_string()]);
        command
            .arg("--storage-path")
            .arg(self.folder.join("mongo.data"));
        if self.user.is_some() {
            command.arg("--auth");
        }
        let mut process = Process::spawn(command, "mongo", &self.folder)?;
        let listens = |line: &str| line.contains("listening on").then_some(());
        process.line("listening", listens).await?;
        self.process = Some(process);
        Ok(())
    }

    /// It is there, and answers nothing.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// It answers again, all that it was asked meanwhile too.
    pub fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref();
        process.context("it is not running")?.signal(signal)
    }

    /// After it was killed: somebody else is at its address, and says things that
    /// make no sense.
    pub async fn garble(&self) -> Result<JoinHandle<()>> {
        let listener = TcpListener::bind(self.address).await?;
        Ok(tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                tokio::spawn(async move {
                    use tokio::io::AsyncWriteExt;
                    let nonsense = "HTTP/1.1 400 Bad Request\r\n\r\n".repeat(100);
                    let _ = connection.write_all(nonsense.as_bytes()).await;
                });
            }
        }))
    }

    /// A heartbeat of a server.
    pub async fn beat(&self, rpc_addr: &str) -> Result<()> {
        beat(&self.rows().await?, rpc_addr).await
    }

    /// What a server does last that is told to stop: `RemoveClusterNode`.
    pub async fn leave(&self, rpc_addr: &str) -> Result<()> {
        let rows = self.rows().await?;
        rows.delete_one(doc! { "rpc_addr": rpc_addr }).await?;
        Ok(())
    }

    /// As if the last heartbeat of a server was that long ago.
    pub async fn age(&self, rpc_addr: &str, age: Duration) -> Result<()> {
        let age = i64::try_from(age.as_millis())?;
        let then = doc! { "$add": ["$$NOW", -age] };
        let update = doc! { "$set": { "updated_at": then } };
        let rows = self.rows().await?;
        let filter = doc! { "rpc_addr": rpc_addr };
        rows.update_one(filter, vec![update]).upsert(true).await?;
        Ok(())
    }

    /// Gives the row of a server that value.
    pub async fn set(&self, rpc_addr: &str, field: &str, value: Bson) -> Result<()> {
        upsert(
            &self.rows().await?,
            rpc_addr,
            doc! { "$set": { field: value } },
        )
        .await
    }

    /// Takes out all rows.
    pub async fn clear(&self) -> Result<()> {
        self.rows().await?.delete_many(doc! {}).await?;
        Ok(())
    }

    /// Starts servers, so to speak; they are known before this returns.
    pub async fn heartbeats(&self, entries: &[Entry]) -> Result<Heartbeats> {
        let of = entries.iter().map(|entry| entry.address.to_string());
        let of: Vec<_> = of.collect();
        let rows = self.rows().await?;
        for rpc_addr in &of {
            beat(&rows, rpc_addr).await?;
        }
        Ok(Heartbeats(tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(500));
            loop {
                every.tick().await;
                for rpc_addr in &of {
                    // One that fails is followed by the next.
                    let _ = beat(&rows, rpc_addr).await;
                }
            }
        })))
    }

    async fn rows(&self) -> Result<Collection<Document>> {
        let database = self.client().await?.database(DATABASE);
        Ok(database.collection("clusternodes"))
    }

    async fn client(&self) -> Result<Client> {
        let uri = match &self.user {
            Some([user, password]) => self.uri_of(user, password),
            None => self.uri(),
        };
        let options = ClientOptions::parse(uri).await?;
        let client = Client::with_options(options)?;
        eventually("answered by the database", async || {
            let admin = client.database("admin");
            let ping = admin.run_command(doc! { "ping": 1 });
            Ok(ping.await.map(drop)?)
        })
        .await?;
        Ok(client)
    }
}

/// In the words of `updateClusterFollower` in Yorkie 0.7.17.
async fn beat(rows: &Collection<Document>, rpc_addr: &str) -> Result<()> {
    let update = doc! {
        "$currentDate": { "updated_at": true },
        "$setOnInsert": { "rpc_addr": rpc_addr, "is_leader": false },
    };
    upsert(rows, rpc_addr, update).await
}

async fn upsert(rows: &Collection<Document>, rpc_addr: &str, update: Document) -> Result<()> {
    let filter = doc! { "rpc_addr": rpc_addr };
    rows.update_one(filter, update).upsert(true).await?;
    Ok(())
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.0.abort();
    }
}
