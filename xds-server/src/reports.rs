//! The service that takes reports from filters, on the port of xDS: Envoy
//! reaches it through the same cluster.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use sharding::{REPORTS_SERVICE, Receipt, Report, SEND_METHOD};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tracing::warn;

use crate::ads::Peer;
use crate::fleet::Fleet;

/// Largest report: as many members as one can have, with short names.
const MAX_REPORT_BYTES: usize = 4 << 20;

/// The service over a fleet that takes what it hears.
#[derive(Clone)]
struct Reports {
    fleet: Arc<Fleet>,
    has_warned: Arc<AtomicBool>,
}

/// The service as a set of routes, for
/// [`AdsServer::with_services`](crate::ads::AdsServer::with_services).
#[must_use]
pub fn routes(fleet: Arc<Fleet>) -> Routes {
    Routes::new(Reports {
        fleet,
        has_warned: Arc::default(),
    })
}

impl NamedService for Reports {
    const NAME: &'static str = REPORTS_SERVICE;
}

impl Service<Request<Body>> for Reports {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let path = request.uri().path();
            let method = path.rsplit('/').next().unwrap_or_default();
            if method != SEND_METHOD {
                let status = Status::new(
                    Code::Unimplemented,
                    format!("{REPORTS_SERVICE} has no method {method:?}: expected {SEND_METHOD}"),
                );
                return Ok(status.into_http());
            }
            let codec = ProstCodec::<Receipt, Report>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_REPORT_BYTES);
            Ok(grpc.unary(this, request).await)
        })
    }
}

impl UnaryService<Report> for Reports {
    type Response = Receipt;
    type Future = Ready<Result<tonic::Response<Receipt>, Status>>;

    fn call(&mut self, request: tonic::Request<Report>) -> Self::Future {
        // Whoever comes without passing by the door is nobody.
        let Some(peer) = request.extensions().get::<Peer>() else {
            return ready(Err(Status::internal("the sender is not known")));
        };
        if let Err(refused) = peer.admit(&request.get_ref().node) {
            return ready(Err(refused));
        }
        let taken = self.fleet.report(request.into_inner(), Instant::now());
        ready(match taken {
            Ok(()) => Ok(tonic::Response::new(Receipt {})),
            Err(error) => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    warn!(%error, "Report refused; further ones are only counted");
                }
                Err(Status::resource_exhausted(error.to_string()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tonic::client::Grpc as Client;
    use tonic::transport::Channel;

    use super::*;
    use crate::ads::AdsServer;

    async fn send(
        client: &mut Client<Channel>,
        method: &str,
        report: Report,
    ) -> Result<(), Status> {
        let path = format!("/{REPORTS_SERVICE}/{method}");
        let path = PathAndQuery::try_from(path).unwrap();
        client.ready().await.unwrap();
        let codec = ProstCodec::<Report, Receipt>::default();
        let sent = client.unary(tonic::Request::new(report), path, codec);
        sent.await.map(drop)
    }

    #[tokio::test]
    async fn reports_arrive_on_the_port_of_xds() {
        let fleet = Arc::new(Fleet::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let (_snapshots, receiver) = watch::channel(Arc::default());
        let server = AdsServer::new(receiver, fleet.clone()).with_services(routes(fleet.clone()));
        let serving = tokio::spawn(server.serve(listener, std::future::pending()));
        let channel = Channel::from_shared(uri).unwrap().connect().await.unwrap();
        let mut client = Client::new(channel);

        let report = Report {
            node: "a".to_owned(),
            vm: 1,
            open: 4,
            ..Report::default()
        };
        send(&mut client, SEND_METHOD, report.clone())
            .await
            .unwrap();
        assert_eq!(fleet.totals(None, Instant::now()).open, 4);
        fleet.changed().await;

        let error = send(&mut client, "Receive", report.clone())
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented);
        assert!(error.message().contains("expected Send"), "{error}");
        for vm in 2..=256 {
            let report = Report {
                vm,
                ..report.clone()
            };
            send(&mut client, SEND_METHOD, report).await.unwrap();
        }
        let report = Report { vm: 0, ..report };
        let error = send(&mut client, SEND_METHOD, report).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        serving.abort();
    }
}
