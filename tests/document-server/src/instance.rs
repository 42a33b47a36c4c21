//! One document server: its calls, its caches, and everything it shares with
//! nobody.

pub mod http;
pub mod metrics;

mod admin_calls;
mod cache;
mod change_store;
mod channel_calls;
mod channels;
mod client_calls;
mod cluster_calls;
mod cluster_client;
mod database;
mod dispatch;
mod document_calls;
mod errors;
mod health_calls;
mod ids;
mod locks;
mod pubsub;
mod push_pull;
mod request;
mod rows;
mod streams;
mod subscriptions;
mod watch_calls;

use std::sync::Arc;
use std::time::Duration;

use ::http::Uri;
use tokio::sync::watch;

use self::channels::Channels;
use self::cluster_client::ClusterClient;
use self::database::Database;
use self::locks::Locks;
use self::pubsub::Hub;
use self::streams::Streams;
use crate::api;
use crate::store::client::StoreClient;

/// The project of requests without an API key.
pub const DEFAULT_PROJECT: &str = "default";

/// What an instance is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it is; in every answer and log line.
    pub id: String,
    /// Where the store is.
    pub store: Uri,
    /// Where calls to other instances go; without one, they stay here.
    pub gateway: Option<Uri>,
    /// The API key that means the default project too.
    pub default_public_key: String,
    /// How long a channel session lives without a refresh.
    pub channel_ttl: Duration,
}

/// A running document server.
#[derive(Debug)]
pub struct Instance {
    settings: Settings,
    database: Database,
    locks: Locks,
    documents: Arc<Hub<api::DocEvent>>,
    channels: Channels,
    streams: Streams,
    cluster: Option<ClusterClient>,
    stopping: watch::Sender<bool>,
}

impl Instance {
    /// An instance with empty caches. Must be called within a runtime.
    #[must_use]
    pub fn new(settings: Settings) -> Arc<Self> {
        let instance = Arc::new(Self {
            database: Database::new(StoreClient::new(settings.store.clone())),
            locks: Locks::default(),
            documents: Arc::new(pubsub::documents()),
            channels: Channels::new(settings.channel_ttl),
            streams: Streams::default(),
            cluster: settings.gateway.clone().map(ClusterClient::new),
            stopping: watch::Sender::new(false),
            settings,
        });
        let weak = Arc::downgrade(&instance);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(channels::CLEANUP_INTERVAL);
            loop {
                tick.tick().await;
                let Some(instance) = weak.upgrade() else {
                    return;
                };
                instance.channels.drop_expired();
            }
        });
        instance
    }

    /// Ends every open stream, as a server does that goes away.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Who this is.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.settings.id
    }

    /// The project that an API key stands for.
    fn project_of(&self, api_key: &str) -> String {
        if api_key.is_empty() || api_key == self.settings.default_public_key {
            DEFAULT_PROJECT.to_owned()
        } else {
            api_key.to_owned()
        }
    }

    /// The API key by which instances name a project to each other.
    fn public_key_of<'a>(&'a self, project: &'a str) -> &'a str {
        if project == DEFAULT_PROJECT {
            &self.settings.default_public_key
        } else {
            project
        }
    }
}
