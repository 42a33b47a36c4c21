//! What one proxy has.

use tokio::task::spawn_blocking;
use tracing::error;

use super::{Admin, Refusal};
use crate::api::{ProxyConfig, ResourceStatus, StreamConfig};
use crate::fleet::{Kept, StreamKept};
use crate::protojson::json;
use crate::snapshot::ResourceType;

impl Admin {
    pub(super) async fn proxy_config(&self, node: String) -> Result<ProxyConfig, Refusal> {
        let kept = self.fleet.kept(&node);
        if kept.is_empty() {
            let error = format!("no proxy with node id {node:?} is connected");
            return Err(Refusal::not_found(error));
        }
        let streams = spawn_blocking(move || kept.into_iter().map(stream).collect());
        let streams = streams.await.map_err(Refusal::internal)?;
        Ok(ProxyConfig { node, streams })
    }
}

fn stream((id, mode, kept): StreamKept) -> StreamConfig {
    let resources = kept.into_iter().map(|(kind, kept)| resource(kind, kept));
    StreamConfig {
        id: id.to_string(),
        mode: mode.name().to_owned(),
        resources: resources.collect(),
    }
}

fn resource(kind: ResourceType, kept: Kept) -> ResourceStatus {
    let body = kept.resource.and_then(|resource| {
        let json = json(kind, resource.bytes());
        json.inspect_err(|error| error!(%kind, name = %kept.name, %error, "Resource has no JSON"))
            .ok()
    });
    ResourceStatus {
        kind: kind.name().to_owned(),
        type_url: kind.type_url().to_owned(),
        name: kept.name.to_string(),
        version: kept.version.to_string(),
        state: kept.reached.into(),
        body,
    }
}
