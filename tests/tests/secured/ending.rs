//! SIGTERM, and what systemd is told.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_prost::ProstCodec;
use yorkies_tests::{
    ControlPlane, Mode, Router, Settings, TestEnvironment, Traffic, equal_weights, eventually,
    keys, patience,
};

use crate::raw::PREFACE;

/// What docs/operations.md says.
const BOUND: Duration = Duration::from_secs(5);

const STREAMS: usize = 50;

const ADS: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// `DiscoveryRequest`, as much of it as is needed to ask for clusters, and all
/// of a response that is looked at.
#[derive(Clone, PartialEq, Message)]
struct Discovery {
    #[prost(string, tag = "4")]
    type_url: String,
}

#[test]
fn at_sigterm_all_streams_end_cleanly_and_the_process_soon() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        let mut control_plane = env.control_plane(Settings::default()).await?;
        control_plane.edit(equal_weights(&members))?;
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(stream(&control_plane).await?);
        }
        let mut bare = TcpStream::connect(control_plane.address()).await?;
        bare.write_all(PREFACE).await?;
        // Its settings: now the connection is one of HTTP/2.
        bare.read_u8().await?;

        let asked = Instant::now();
        let status = control_plane.terminate().await?;
        let took = asked.elapsed();
        ensure!(status.success(), "{status}");
        ensure!(took < BOUND, "it took {took:?}");
        for mut stream in streams {
            let end = stream.message().await;
            let end = end
                .err()
                .context("a stream that goes on, or ended for no reason")?;
            ensure!(end.code() == Code::Unavailable, "{end}");
            ensure!(end.message() == "control plane is shutting down", "{end}");
        }
        let mut said = vec![0];
        bare.read_to_end(&mut said).await?;
        let frames = frames(&said)?;
        ensure!(frames.contains(&GOAWAY), "{frames:?} and no GOAWAY");
        Ok(())
    });
}

/// Type of that frame (RFC 9113, 6.8).
const GOAWAY: u8 = 7;

/// Types of the frames that were sent, from their headers of 9 bytes: length,
/// type, flags and stream (RFC 9113, 4.1).
fn frames(mut said: &[u8]) -> Result<Vec<u8>> {
    let mut types = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = said {
        types.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        said = rest.get(length..).context("half a frame")?;
    }
    ensure!(said.is_empty(), "half a header");
    Ok(types)
}

/// An xDS stream that has got its clusters.
async fn stream(control_plane: &ControlPlane) -> Result<Streaming<Discovery>> {
    let uri = format!("http://{}", control_plane.address());
    let mut client = Grpc::new(Channel::from_shared(uri)?.connect().await?);
    client.ready().await?;
    let asked = Discovery {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
    };
    let requests = tokio_stream::iter([asked]).chain(tokio_stream::pending());
    let codec = ProstCodec::<Discovery, Discovery>::default();
    let answer = client.streaming(tonic::Request::new(requests), ADS.parse()?, codec);
    let mut stream = answer.await?.into_inner();
    let first = tokio::time::timeout(patience(), stream.message()).await??;
    ensure!(first.is_some(), "no clusters");
    Ok(stream)
}

#[test]
fn envoy_goes_over_to_the_next_instance_and_no_request_is_lost() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let two = equal_weights(&members[..2]);
        let mut router = Router::start(env, Settings::default(), Mode::Delta, two).await?;
        let traffic = Traffic::start(router.h2c.clone(), keys(100));
        let asked = Instant::now();
        router.control_plane.terminate().await?;
        ensure!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
        router.control_plane.restart().await?;
        router.change(equal_weights(&members)).await?;
        let report = traffic.stop().await?;
        ensure!(
            report.answered > 0 && report.failures.is_empty(),
            "{report:?}"
        );
        router.expect_owners(&keys(500)).await
    });
}

#[test]
fn systemd_is_told_when_there_is_a_roster_and_at_the_end() {
    TestEnvironment::run(async |env| {
        let members = env.members(1).await?;
        // The folder of a test has a longer path than a socket can.
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        let settings = Settings {
            environment: vec![("NOTIFY_SOCKET", path.display().to_string())],
            ..Settings::default()
        };
        let mut control_plane = env.control_plane(settings).await?;
        control_plane
            .logged(&["proxies wait for the first roster"])
            .await?;
        ensure!(told(&socket).is_err(), "ready without a roster");
        control_plane.edit(equal_weights(&members))?;
        let ready = eventually("told", async || told(&socket)).await?;
        ensure!(ready == "READY=1", "{ready}");
        control_plane.terminate().await?;
        let stopping = told(&socket)?;
        ensure!(stopping == "STOPPING=1", "{stopping}");
        Ok(())
    });
}

fn told(socket: &UnixDatagram) -> Result<String> {
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    match buffer.get(..length) {
        Some(text) => Ok(String::from_utf8(text.to_vec())?),
        None => bail!("more than was asked for"),
    }
}
