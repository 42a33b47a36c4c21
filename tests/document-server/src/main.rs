//! Starts the shared store or one document server.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use document_server::audience;
use document_server::client::Client;
use document_server::instance::{Instance, Settings, metrics};
use document_server::log::{self, Moment};
use document_server::pages::Pages;
use document_server::server;
use document_server::store::server::Store;
use http::Uri;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A small document server that speaks the Yorkie protocol.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the store that instances share.
    Store(StoreArguments),
    /// Runs one document server.
    Serve(Box<ServeArguments>),
    /// Watches documents through a router and tells what moves.
    Audience(AudienceArguments),
}

#[derive(Debug, Args)]
struct StoreArguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Who this is: in every answer and log line.
    #[arg(long)]
    id: String,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where the store is.
    #[arg(long)]
    store: Uri,
    /// Where to serve metrics; the first line names it as `metrics`.
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
    /// The router, for calls to other instances; without it they stay here.
    #[arg(long)]
    gateway: Option<Uri>,
    /// The API key that means the default project, as no API key does.
    #[arg(long, default_value = "default")]
    default_public_key: String,
    /// Seconds a channel session lives without a refresh.
    #[arg(long, default_value_t = 15)]
    channel_ttl: u64,
    /// A folder whose files are served under `/demo/`; may be given several times.
    #[arg(long)]
    pages: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct AudienceArguments {
    /// The router.
    #[arg(long)]
    router: Uri,
    /// How many documents are watched, each by one person.
    #[arg(long, default_value_t = 100)]
    documents: usize,
    /// The API key of their project; empty for the default project.
    #[arg(long, default_value = "")]
    project: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let started = Moment::now();
    match Arguments::parse().command {
        Command::Store(arguments) => store(arguments).await,
        Command::Serve(arguments) => serve(*arguments, started).await,
        Command::Audience(arguments) => audience(arguments).await,
    }
}

async fn store(StoreArguments { listen }: StoreArguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let stop = stop()?;
    log::line(&json!({"listening": listener.local_addr()?, "id": "store"}));
    let store = Store::default();
    server::serve(listener, move |request| store.clone().answer(request), stop).await;
    Ok(())
}

async fn serve(arguments: ServeArguments, started: Moment) -> anyhow::Result<()> {
    let ServeArguments {
        id,
        listen,
        store,
        metrics_listen,
        gateway,
        default_public_key,
        channel_ttl,
        pages,
    } = arguments;
    let pages = Pages::read(&pages)?;
    let listener = TcpListener::bind(listen).await?;
    let stop = stop()?;
    let mut first = json!({"listening": listener.local_addr()?, "id": id});
    let channel_ttl = Duration::from_secs(channel_ttl);
    let instance = Instance::new(Settings {
        id,
        store,
        gateway,
        default_public_key,
        channel_ttl,
    });
    if let Some(address) = metrics_listen {
        let listener = TcpListener::bind(address).await?;
        first["metrics"] = json!(listener.local_addr()?);
        let instance = Arc::clone(&instance);
        let answer = move |request| {
            let response = metrics::answer(&instance, started, &request);
            async move { response }
        };
        tokio::spawn(server::serve(listener, answer, std::future::pending()));
    }
    log::line(&first);

    let stopping = Arc::clone(&instance);
    let stop = async move {
        stop.await;
        stopping.stop();
    };
    server::serve(
        listener,
        move |request| {
            let (page, instance) = (pages.answer(&request), Arc::clone(&instance));
            async move {
                match page {
                    Some(page) => page,
                    None => instance.answer(request).await,
                }
            }
        },
        stop,
    )
    .await;
    Ok(())
}

async fn audience(arguments: AudienceArguments) -> anyhow::Result<()> {
    let AudienceArguments {
        router,
        documents,
        project,
    } = arguments;
    let router = router.to_string();
    let client = Client::new(router.trim_end_matches('/'), project);
    let stop = stop()?;
    tokio::select! {
        told = audience::watch(client, documents) => Ok(told?),
        () = stop => Ok(()),
    }
}

/// Waits for the signal to stop.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
