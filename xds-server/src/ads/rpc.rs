//! The RPCs of the discovery services, and how a session becomes one.

use std::future::{Ready, ready};
use std::pin::Pin;

use futures_util::Stream;
use prost::Message;
use tonic::server::StreamingService;
use tonic::{Request, Response, Status, Streaming};

use crate::ads::observer::Mode;
use crate::ads::session::Session;
use crate::ads::stream::{self, Context};
use crate::snapshot::ResourceType;

/// One RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rpc {
    pub(crate) mode: Mode,
    /// The type of a separate service; `None` for the aggregated one.
    pub(crate) only: Option<ResourceType>,
}

impl Rpc {
    /// The RPC at that path, if it is one of discovery.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/envoy.service.")?;
        let (service, method) = path.split_once('/')?;
        let (only, resources) = match service {
            "discovery.v3.AggregatedDiscoveryService" => (None, "AggregatedResources"),
            "cluster.v3.ClusterDiscoveryService" => (Some(ResourceType::Cluster), "Clusters"),
            "endpoint.v3.EndpointDiscoveryService" => (Some(ResourceType::Endpoints), "Endpoints"),
            "listener.v3.ListenerDiscoveryService" => (Some(ResourceType::Listener), "Listeners"),
            "route.v3.RouteDiscoveryService" => (Some(ResourceType::Routes), "Routes"),
            "extension.v3.ExtensionConfigDiscoveryService" => {
                (Some(ResourceType::Extension), "ExtensionConfigs")
            }
            _ => return None,
        };
        let mode = match method.strip_suffix(resources)? {
            "Stream" => Mode::StateOfTheWorld,
            "Delta" => Mode::Delta,
            _ => return None,
        };
        Some(Self { mode, only })
    }
}

/// A session as the handler of one bidirectional RPC.
pub(crate) struct Exchange<S>(Option<(S, Context)>);

impl<S> Exchange<S> {
    pub(crate) fn new(session: S, context: Context) -> Self {
        Self(Some((session, context)))
    }
}

impl<S> StreamingService<S::Request> for Exchange<S>
where
    S: Session + Send + 'static,
    S::Request: Message + Default + 'static,
    S::Response: Message + 'static,
{
    type Response = S::Response;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<S::Response, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<S::Request>>) -> Self::Future {
        let Some((session, context)) = self.0.take() else {
            return ready(Err(Status::internal("stream is already open")));
        };
        let responses = stream::run(session, request.into_inner(), context);
        ready(Ok(Response::new(Box::pin(responses))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_discovery_rpc_has_its_mode_and_type() {
        let cases = [
            (
                "discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
                None,
            ),
            (
                "cluster.v3.ClusterDiscoveryService/StreamClusters",
                Some(ResourceType::Cluster),
            ),
            (
                "endpoint.v3.EndpointDiscoveryService/StreamEndpoints",
                Some(ResourceType::Endpoints),
            ),
            (
                "listener.v3.ListenerDiscoveryService/StreamListeners",
                Some(ResourceType::Listener),
            ),
            (
                "route.v3.RouteDiscoveryService/StreamRoutes",
                Some(ResourceType::Routes),
            ),
            (
                "extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs",
                Some(ResourceType::Extension),
            ),
        ];
        for (path, only) in cases {
            let path = format!("/envoy.service.{path}");
            let rpc = |mode| Some(Rpc { mode, only });
            assert_eq!(Rpc::from_path(&path), rpc(Mode::StateOfTheWorld), "{path}");
            let path = path.replace("/Stream", "/Delta");
            assert_eq!(Rpc::from_path(&path), rpc(Mode::Delta), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_discovery() {
        for path in [
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/FetchAggregatedResources",
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamClusters",
            "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
            "/yorkies.v1.Reports/Report",
            "",
        ] {
            assert_eq!(Rpc::from_path(path), None, "{path}");
        }
    }
}
