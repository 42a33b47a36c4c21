//! A stand-in for the API server of Kubernetes, as far as `EndpointSlices` of
//! one namespace go: over real HTTP it lists them, page by page, and tells what
//! happens to them, as the real one does. It can do both wrongly.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::{eventually, own_address};

mod answers;
mod question;

/// What an API server does wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiFault {
    /// It answers that status, with that message.
    Status(u16, &'static str),
    /// It answers that body.
    Body(&'static str),
    /// It takes questions and answers nothing.
    Silence,
    /// It breaks off in the middle of an answer.
    Break,
}

/// The stand-in. It can be stopped and started again where it was.
#[derive(Debug)]
pub struct KubernetesApi {
    address: SocketAddr,
    folder: PathBuf,
    tls: Option<(Arc<ServerConfig>, String)>,
    shared: Arc<Shared>,
    serving: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    cluster: Mutex<Cluster>,
    /// That something has happened.
    happened: watch::Sender<u64>,
}

/// What is in the cluster, and how it is told.
#[derive(Debug)]
struct Cluster {
    namespace: String,
    labels: String,
    /// Without it nobody is let in.
    token: Option<String>,
    slices: BTreeMap<String, Value>,
    version: u64,
    /// What has happened, by version.
    history: Vec<(u64, String)>,
    /// The history up to there is forgotten.
    forgotten: u64,
    /// Most slices of one page.
    page: usize,
    list_fault: Option<ApiFault>,
    watch_fault: Option<ApiFault>,
    /// What open watches were told that has not happened.
    said: Vec<&'static str>,
    /// How often open watches were broken off.
    breaks: u64,
    lists: usize,
    watches: usize,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            namespace: "yorkies".to_owned(),
            labels: "kubernetes.io/service-name=yorkie".to_owned(),
            token: None,
            slices: BTreeMap::new(),
            version: 1000,
            history: Vec::new(),
            forgotten: 0,
            page: usize::MAX,
            list_fault: None,
            watch_fault: None,
            said: Vec::new(),
            breaks: 0,
            lists: 0,
            watches: 0,
        }
    }
}

impl KubernetesApi {
    /// Starts one whose namespace `yorkies` has a service `yorkie` without slices.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_at(folder, own_address()?, None).await
    }

    /// Starts one that speaks TLS and lets in who shows the token. `certify`
    /// makes its configuration, and the certificate of its authority in PEM.
    pub async fn start_with_tls(
        folder: &Path,
        token: &str,
        certify: impl FnOnce(SocketAddr) -> Result<(ServerConfig, String)>,
    ) -> Result<Self> {
        let address = own_address()?;
        let (config, ca) = certify(address)?;
        let tls = (Arc::new(config), ca);
        let this = Self::start_at(folder, address, Some(tls)).await?;
        this.want_token(token);
        Ok(this)
    }

    async fn start_at(
        folder: &Path,
        address: SocketAddr,
        tls: Option<(Arc<ServerConfig>, String)>,
    ) -> Result<Self> {
        let mut this = Self {
            address,
            folder: folder.to_owned(),
            tls,
            shared: Arc::default(),
            serving: JoinSet::new(),
        };
        this.restart().await?;
        Ok(this)
    }

    /// Ends it: its connections break, and nobody listens there any more.
    pub async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// Starts it again where it was, with all that it knew.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await;
        let address = self.address;
        let listener = eventually("bound", async || Ok(TcpListener::bind(address).await?)).await?;
        let tls = self.tls.as_ref().map(|(config, _)| config.clone().into());
        let shared = self.shared.clone();
        self.serving.spawn(serve(listener, tls, shared));
        Ok(())
    }

    /// A kubeconfig for it whose context `test` is the current one. A user's
    /// token is in that file.
    pub fn kubeconfig(&self, token_file: Option<&Path>) -> Result<PathBuf> {
        let mut cluster = json!({ "server": format!("http://{}", self.address) });
        if let Some((_, ca)) = &self.tls {
            let ca_file = self.folder.join("api-ca.pem");
            std::fs::write(&ca_file, ca)?;
            cluster = json!({
                "server": format!("https://{}", self.address),
                "certificate-authority": ca_file,
            });
        }
        let user = token_file.map_or_else(|| json!({}), |file| json!({ "tokenFile": file }));
        let context =
            |cluster: &str| json!({ "cluster": cluster, "user": "test", "namespace": "yorkies" });
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                { "name": "test", "cluster": cluster },
                { "name": "nowhere", "cluster": { "server": "http://127.0.0.1:1" } },
            ],
            "users": [{ "name": "test", "user": user }],
            "contexts": [
                { "name": "test", "context": context("test") },
                { "name": "nowhere", "context": context("nowhere") },
            ],
        });
        let path = self.folder.join("kubeconfig");
        std::fs::write(&path, kubeconfig.to_string())?;
        Ok(path)
    }

    /// Lets in only who shows that token from now on.
    pub fn want_token(&self, token: &str) {
        self.change(|cluster| cluster.token = Some(token.to_owned()));
    }

    /// Takes a recorded list as what is there, whatever was there before: whoever
    /// watches has to list again.
    pub fn load(&self, list: &str) -> Result<()> {
        let list: Value = serde_json::from_str(list)?;
        let items = list["items"].as_array().context("no list")?;
        let slices = items.iter().map(|slice| Ok((name(slice)?, slice.clone())));
        let slices = slices.collect::<Result<_>>()?;
        let version = version(&list)?;
        self.change(|cluster| {
            cluster.slices = slices;
            cluster.version = version;
            (cluster.forgotten, cluster.history) = (version, Vec::new());
        });
        Ok(())
    }

    /// Has that happen which was recorded, a line for each event.
    pub fn play(&self, lines: &str) -> Result<()> {
        for line in lines.lines() {
            let event: Value = serde_json::from_str(line)?;
            let object = &event["object"];
            let kind = event["type"].as_str().context("no type")?.to_owned();
            let version = version(object)?;
            let known = self.cluster().version;
            ensure!(version > known, "{version} does not follow {known}");
            let slice = (kind != "BOOKMARK").then(|| name(object)).transpose()?;
            self.change(|cluster| {
                cluster.version = version;
                match slice {
                    Some(slice) if kind == "DELETED" => drop(cluster.slices.remove(&slice)),
                    Some(slice) => drop(cluster.slices.insert(slice, object.clone())),
                    None => {}
                }
                cluster.history.push((version, line.to_owned()));
            });
        }
        Ok(())
    }

    /// Makes that slice, or changes it.
    pub fn put(&self, slice: &Value) -> Result<()> {
        let is_known = self.cluster().slices.contains_key(&name(slice)?);
        let kind = if is_known { "MODIFIED" } else { "ADDED" };
        self.play(&self.event(kind, slice).to_string())
    }

    /// Removes the slice of that name.
    pub fn delete(&self, slice: &str) -> Result<()> {
        let slice = self.cluster().slices.get(slice).cloned();
        let slice = slice.context("no such slice")?;
        self.play(&self.event("DELETED", &slice).to_string())
    }

    fn event(&self, kind: &str, slice: &Value) -> Value {
        let mut slice = slice.clone();
        let version = self.cluster().version + 1;
        slice["metadata"]["resourceVersion"] = version.to_string().into();
        json!({ "type": kind, "object": slice })
    }

    /// Sends open watches that line, whatever it is, and nobody later.
    pub fn say(&self, line: &'static str) {
        self.change(|cluster| cluster.said.push(line));
    }

    /// Forgets its history: whoever watches has to list again.
    pub fn compact(&self) {
        self.change(|cluster| {
            cluster.version += 1;
            (cluster.forgotten, cluster.history) = (cluster.version, Vec::new());
        });
    }

    /// Breaks open watches off in the middle of a line.
    pub fn break_watches(&self) {
        self.change(|cluster| cluster.breaks += 1);
    }

    /// Has lists go wrong from now on, or right again.
    pub fn fail_lists(&self, fault: Option<ApiFault>) {
        self.change(|cluster| cluster.list_fault = fault);
    }

    /// Has watches go wrong from now on, open ones as well if it is
    /// [`ApiFault::Silence`], or right again.
    pub fn fail_watches(&self, fault: Option<ApiFault>) {
        self.change(|cluster| cluster.watch_fault = fault);
    }

    /// Has no page longer than so many slices.
    pub fn page(&self, slices: usize) {
        self.change(|cluster| cluster.page = slices);
    }

    /// How many pages were listed.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.cluster().lists
    }

    /// How many watches were opened.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.cluster().watches
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.shared.cluster()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        let changed = change(&mut self.shared.cluster());
        self.shared.happened.send_modify(|count| *count += 1);
        changed
    }
}

impl Shared {
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, tls) = (shared.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => connection(stream, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| answers::answer(request, shared.clone()));
    let server = http1::Builder::new();
    // A client may leave at any time.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn name(object: &Value) -> Result<String> {
    let name = object["metadata"]["name"].as_str();
    Ok(name.context("an object without a name")?.to_owned())
}

fn version(object: &Value) -> Result<u64> {
    let version = object["metadata"]["resourceVersion"].as_str();
    Ok(version.context("an object without a version")?.parse()?)
}
