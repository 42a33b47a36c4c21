//! The RPCs of the discovery services, and how a session becomes one.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use crate::ads::body::Messages;
use crate::ads::codec;
use crate::ads::observer::Mode;
use crate::ads::requests::Requests;
use crate::ads::session::Session;
use crate::ads::stream::{self, Context};
use crate::snapshot::ResourceType;

/// How requests are compressed.
const ENCODING: &str = "grpc-encoding";

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

/// Answers one RPC with the responses of a session. `largest` is the most bytes
/// that a request may have.
pub(crate) fn exchange<S>(
    session: S,
    request: Request<Incoming>,
    context: Context,
    largest: usize,
) -> Response<Body>
where
    S: Session + Send + Sync + 'static,
    S::Request: Message + Default + 'static,
    S::Response: codec::Response + 'static,
{
    if let Some(encoding) = request.headers().get(ENCODING)
        && encoding != "identity"
    {
        let status = format!("compression {encoding:?} is not supported: expected none");
        return Status::unimplemented(status).into_http();
    }
    let requests = Requests::new(request.into_body(), largest);
    let responses = Messages::new(stream::run(session, requests, context));
    let mut response = Response::new(Body::new(responses));
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
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
