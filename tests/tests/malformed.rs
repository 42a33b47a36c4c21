//! Garbage from clients harms nobody: not the filter, not the requests beside
//! it.

use anyhow::{Result, ensure};
use fastrand::Rng;
use http::Method;
use sharding::{API_KEY, SHARD_EPOCH, SHARD_KEY, SHARD_OWNER};
use yorkies_tests::{
    Envoy, Mode, Request, Router, Settings, TestEnvironment, Traffic, equal_weights, keys,
};

/// Requests in a batch; there are two of [`HALF`].
const BATCH: usize = 500;
const HALF: usize = 10;

/// Envoy's own buffers and connections may still grow a little; a filter that
/// keeps what it is sent would need far more.
const MOST_GROWTH: u64 = 24 << 20;

/// Printed by a failure, so that it can be tried again.
const SEED: u64 = 0x5eed;

#[test]
fn ten_thousand_malformed_requests_disturb_nobody() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let settings = Settings::default();
        let router = Router::start(env, settings, Mode::Delta, equal_weights(&members)).await?;
        let traffic = Traffic::start(router.h2c.clone(), keys(50));
        let mut rng = Rng::with_seed(SEED);
        batches(&router, &mut rng).await?;
        let before = resident_bytes(&router.envoy).await?;
        batches(&router, &mut rng).await?;
        let after = resident_bytes(&router.envoy).await?;
        ensure!(
            after < before + MOST_GROWTH,
            "resident memory grew from {before} to {after} bytes (seed {SEED:#x})"
        );
        // That no VM was restarted and nothing panicked is looked at with every test's end.
        traffic.stop().await?.expect_flawless()
    });
}

async fn batches(router: &Router, rng: &mut Rng) -> Result<()> {
    for number in 0..HALF {
        let requests: Result<Vec<_>> = (0..BATCH).map(|_| malformed(rng)).collect();
        let client = if number % 2 == 0 {
            &router.h2c
        } else {
            &router.http1
        };
        for reply in client.send_all(requests?).await? {
            // A refusal may end an HTTP/2 stream whose body still flows, which this client takes for an error.
            let Ok(reply) = reply else { continue };
            ensure!(reply.status.as_u16() != 500, "{reply:?} (seed {SEED:#x})");
        }
    }
    Ok(())
}

async fn resident_bytes(envoy: &Envoy) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/statm", envoy.id().await?))?;
    let pages: u64 = status.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096)
}

const PATHS: [&str; 10] = [
    "/yorkie.v1.YorkieService/PushPullChanges",
    "/yorkie.v1.YorkieService/AttachDocument",
    "/yorkie.v1.YorkieService/Watch",
    "/yorkie.v1.YorkieService/ActivateClient",
    "/yorkie.v1.YorkieService/Broadcast",
    "/yorkie.v1.AdminService/GetDocuments",
    "/yorkie.v1.ClusterService/GetDocument",
    "/yorkie.v1.YorkieService/%50ushPullChanges",
    "/auth/../x",
    "/?connect=v1&message=%ff",
];

const CONTENT_TYPES: [&str; 8] = [
    "application/json",
    "application/proto",
    "application/connect+json",
    "application/connect+proto",
    "application/grpc",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc;\u{9}garbage",
];

fn malformed(rng: &mut Rng) -> Result<Request> {
    let mut request = Request::new(Method::POST, PATHS[rng.usize(..PATHS.len())]);
    if rng.u8(..8) > 0 {
        request = request.header(
            "content-type",
            CONTENT_TYPES[rng.usize(..CONTENT_TYPES.len())],
        )?;
    }
    for name in [
        SHARD_KEY,
        API_KEY,
        SHARD_EPOCH,
        SHARD_OWNER,
        "x-cluster-secret",
    ] {
        for _ in 0..rng.usize(..3) {
            request = request.header(name, header_value(rng))?;
        }
    }
    for name in [
        "content-encoding",
        "grpc-encoding",
        "connect-content-encoding",
    ] {
        if rng.u8(..4) == 0 {
            request = request.header(name, ["gzip", "br", "identity", ""][rng.usize(..4)])?;
        }
    }
    Ok(request.body(body(rng)))
}

/// Bytes that HTTP lets through.
fn header_value(rng: &mut Rng) -> Vec<u8> {
    let length = match rng.u8(..20) {
        0 => rng.usize(..8_000),
        _ => rng.usize(..40),
    };
    let byte = |rng: &mut Rng| match rng.u8(..4) {
        0 => b'/',
        1 => b'%',
        2 => rng.u8(0x80..),
        _ => rng.u8(b' '..0x7f),
    };
    (0..length).map(|_| byte(rng)).collect()
}

/// Random bytes, lying envelopes, cut messages.
fn body(rng: &mut Rng) -> Vec<u8> {
    let noise: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
    let json =
        br#"{"changePack":{"documentKey":"note","x":["\ud800",{"a":1e999}]},"documentKeys":[[[["#;
    match rng.u8(..6) {
        0 => Vec::new(),
        1 => noise,
        2 => json[..rng.usize(..json.len())].to_vec(),
        3 => [&[rng.u8(..)][..], &rng.u32(..).to_be_bytes(), &noise].concat(),
        4 => [&[0x1f, 0x8b, 8, rng.u8(..)][..], &noise].concat(),
        _ => [
            &[0x0a, rng.u8(..), 0x12][..],
            &vec![b'a'; rng.usize(..100_000)],
        ]
        .concat(),
    }
}
