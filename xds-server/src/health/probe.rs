//! One check of one member, over the network.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message;
use sharding::Member;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::config::{Check, Health};

/// As members see it in their logs.
const AGENT: &str = concat!("yorkies-health/", env!("CARGO_PKG_VERSION"));

/// Largest metrics that are read.
const MAX_METRICS_BYTES: usize = 16 << 20;

const STARTED: &str = "process_start_time_seconds";
const GRPC_CHECK: &str = "/grpc.health.v1.Health/Check";

/// `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Where that member is asked.
pub(super) fn place(settings: &Health, member: &Member) -> SocketAddr {
    let own = member.health_port.map(NonZeroU16::get);
    with_port(member.address, own.or(settings.port))
}

/// Checks the member that is asked at `at`, and asks for its incarnation if it
/// `wants` it: it is absent when the member does not tell.
///
/// # Errors
/// Why the check does not pass, for a person.
pub(super) async fn probe(
    settings: &Health,
    at: SocketAddr,
    wants: bool,
) -> Result<Option<String>, String> {
    let check = async {
        match &settings.check {
            Check::Http(path) => check_http(at, path).await,
            Check::Grpc(service) => check_grpc(at, service).await,
            Check::Tcp => connect(at).await.map(drop),
        }
    };
    within(settings.timeout, check).await?;
    let Some(asked) = settings.incarnation.as_ref().filter(|_| wants) else {
        return Ok(None);
    };
    let at = with_port(at, asked.port);
    // It serves, whatever becomes of this.
    let metrics = within(settings.timeout, get(at, &asked.path)).await;
    Ok(metrics.ok().and_then(|(_, body)| started(&body)))
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(format!("no answer within {limit}"))
    })
}

fn with_port(mut address: SocketAddr, port: Option<u16>) -> SocketAddr {
    address.set_port(port.unwrap_or(address.port()));
    address
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let connected = TcpStream::connect(address).await;
    connected.map_err(|error| format!("{address}: {error}"))
}

async fn check_http(address: SocketAddr, path: &str) -> Result<(), String> {
    let (status, _) = get(address, path).await?;
    if status.is_success() {
        return Ok(());
    }
    Err(format!("{path} answers {status}: expected 200"))
}

/// Status and body at that path.
async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), String> {
    let wrong = |error: &dyn std::error::Error| format!("{address}{path}: {error}");
    let stream = TokioIo::new(connect(address).await?);
    let handshake = http1::handshake(stream).await;
    let (mut sender, connection) = handshake.map_err(|error| wrong(&error))?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| wrong(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| wrong(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_METRICS_BYTES)
            .collect()
            .await;
        Ok((status, body.map_err(|error| wrong(&*error))?.to_bytes()))
    };
    // Its end says nothing that the exchange does not.
    let connection = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = exchange => done,
        () = connection => Err(format!("{address}: closed")),
    }
}

async fn check_grpc(address: SocketAddr, service: &str) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint
        .map_err(|error| error.to_string())?
        .user_agent(AGENT);
    let channel = endpoint.map_err(|error| error.to_string())?.connect().await;
    let mut client = Grpc::new(channel.map_err(|error| format!("{address}: {}", cause(&error)))?);
    let ready = client.ready().await;
    ready.map_err(|error| format!("{address}: {error}"))?;
    let request = tonic::Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    let answer = client
        .unary(request, PathAndQuery::from_static(GRPC_CHECK), codec)
        .await;
    match answer {
        Ok(answer) if answer.get_ref().status == SERVING => Ok(()),
        Ok(answer) => {
            let status = answer.get_ref().status;
            Err(format!(
                "{service:?} has status {status}: expected SERVING, {SERVING}"
            ))
        }
        Err(status) => Err(format!(
            "{GRPC_CHECK}: {}: {}",
            status.code(),
            status.message()
        )),
    }
}

/// What is at the bottom of an error.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

/// The value of the metric, as it stands there.
fn started(metrics: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(metrics);
    let mut values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(STARTED)?;
        let rest = match rest.strip_prefix('{') {
            Some(labels) => labels.split_once('}')?.1,
            None => rest.strip_prefix([' ', '\t']).map(|_| rest)?,
        };
        rest.split_whitespace().next()
    });
    values.next().map(str::to_owned)
}

#[cfg(test)]
mod tests;
