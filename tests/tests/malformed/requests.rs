//! Requests that nobody should send.

use anyhow::{Context, Result};
use fastrand::Rng;
use http::Method;
use sharding::{API_KEY, FieldPath, SHARD_EPOCH, SHARD_KEY, SHARD_OWNER, yorkie_rules};
use yorkies_tests::{Request, Rpc};

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

/// One that was never right, or one that was and is damaged.
pub(crate) fn malformed(rng: &mut Rng) -> Result<Request> {
    let mut request = if rng.u8(..3) == 0 {
        let request = call(rng)?;
        let body = damaged(rng, request.content().to_vec());
        request.body(body)
    } else {
        garbage(rng)?
    };
    for name in [
        SHARD_KEY,
        API_KEY,
        SHARD_EPOCH,
        SHARD_OWNER,
        "x-cluster-secret",
    ] {
        // One value is seldom right, two never: most requests have to get further than that.
        for _ in 0..[0, 0, 0, 0, 0, 1, 1, 2][rng.usize(..8)] {
            request = request.header(name, header_value(rng))?;
        }
    }
    for name in [
        "content-encoding",
        "grpc-encoding",
        "connect-content-encoding",
    ] {
        if rng.u8(..6) == 0 {
            request = request.header(name, ["gzip", "br", "identity", ""][rng.usize(..4)])?;
        }
    }
    Ok(request)
}

fn garbage(rng: &mut Rng) -> Result<Request> {
    let mut request = Request::new(Method::POST, PATHS[rng.usize(..PATHS.len())]);
    if rng.u8(..8) > 0 {
        let content_type = CONTENT_TYPES[rng.usize(..CONTENT_TYPES.len())];
        request = request.header("content-type", content_type)?;
    }
    Ok(request.body(body(rng)))
}

/// A call of Yorkie as it should be, all its fields set.
fn call(rng: &mut Rng) -> Result<Request> {
    let rules = yorkie_rules();
    let rule = rng.choice(&rules).context("no rules")?;
    let rpc = Rpc::ALL[rng.usize(..Rpc::ALL.len())];
    let long = "n".repeat(rng.usize(1..200));
    let fields: Vec<(&FieldPath, &str)> = rule.fields().map(|field| (field, &*long)).collect();
    let path = rule.path.to_string().replace('*', "Anything");
    rpc.call(&path, rule.kind, &fields)
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

/// With some bytes changed, lost or twice.
fn damaged(rng: &mut Rng, mut body: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.usize(..3) {
        if body.is_empty() {
            break;
        }
        let place = rng.usize(..body.len());
        match rng.u8(..4) {
            0 => body[place] ^= 1 << rng.u8(..8),
            1 => body.truncate(place),
            2 => body.extend_from_within(place..),
            _ => body.insert(place, rng.u8(..)),
        }
    }
    body
}

/// Random bytes, lying envelopes, cut messages, long ones.
fn body(rng: &mut Rng) -> Vec<u8> {
    let noise: Vec<u8> = (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
    let json =
        br#"{"changePack":{"documentKey":"note","x":["\ud800",{"a":1e999}]},"documentKeys":[[[["#;
    let filler = vec![b'a'; rng.usize(..100_000)];
    match rng.u8(..7) {
        0 => Vec::new(),
        1 => noise,
        2 => json[..rng.usize(..json.len())].to_vec(),
        3 => [&[rng.u8(..)][..], &rng.u32(..).to_be_bytes(), &noise].concat(),
        4 => [&[0x1f, 0x8b, 8, rng.u8(..)][..], &noise].concat(),
        5 => [&b"{\"clientId\":\""[..], &filler].concat(),
        _ => [&[0x0a, rng.u8(..), 0x12][..], &filler].concat(),
    }
}
