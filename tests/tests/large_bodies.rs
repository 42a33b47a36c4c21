//! Bodies that are larger than what is searched for a key.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sharding::{API_KEY, SHARD_KEY};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use yorkies_tests::{
    Mode, Refusal, Reply, Request, Router, Rpc, Settings, TestEnvironment, equal_weights,
    eventually, patience,
};

const PUSH_PULL: &str = "/yorkie.v1.YorkieService/PushPullChanges";

/// `max_body` and the listener's buffer, as they are without configuration.
const MAX_BODY: usize = 64 << 10;
const BUFFER: usize = 1 << 20;

/// No sooner is the kernel taken to have no more room.
const FULL: Duration = Duration::from_millis(500);

async fn start(env: &mut TestEnvironment) -> Result<Router> {
    let members = env.members(2).await?;
    let settings = Settings::default();
    Router::start(env, settings, Mode::Delta, equal_weights(&members)).await
}

/// A message of so many bytes with one long field, before its key or behind it.
fn message(rpc: Rpc, size: usize, key_first: bool) -> Result<Request> {
    let (low, high) = ("filler=1".parse()?, "filler=9".parse()?);
    let key = "change_pack=3.document_key=1".parse()?;
    let filler = "a".repeat(size);
    let filler_field = if key_first { &high } else { &low };
    let fields = [(&key, "note"), (filler_field, &*filler)];
    rpc.call(PUSH_PULL, sharding::Kind::Unary, &fields)?
        .header(API_KEY, "project")
}

#[test]
fn a_key_that_comes_too_late_is_refused_in_the_callers_protocol() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        for size in [MAX_BODY, BUFFER, 3 * BUFFER] {
            for rpc in Rpc::ALL {
                let request = message(rpc, size, false)?;
                // A client of HTTP/1.1 may be cut off while it still writes.
                let clients = [&router.h2c, &router.http1];
                for client in &clients[..if size > MAX_BODY { 1 } else { 2 }] {
                    let reply = client.send(&request).await?;
                    let refusal = Refusal::read(&reply, request.content_type())?;
                    ensure!(
                        refusal.code == "invalid_argument" && refusal.message.contains("too large"),
                        "{size} bytes by {rpc:?}: {refusal:?}"
                    );
                }
            }
        }
        Ok(())
    });
}

#[test]
fn behind_its_key_a_message_may_be_as_long_as_it_likes() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        for rpc in Rpc::ALL {
            let request = message(rpc, 3 * BUFFER, true)?;
            for client in [&router.h2c, &router.http1] {
                let answer = client.send(&request).await?.answer()?;
                ensure!(answer.key()? == "project/note", "{rpc:?}: {answer:?}");
            }
        }
        Ok(())
    });
}

/// On HTTP/1.1 Envoy takes in all that has arrived, up to the listener's
/// buffer, and adds it to what waits already before the filter can look at it.
#[test]
fn a_flood_behind_a_body_that_waits_is_refused_in_the_callers_protocol() {
    TestEnvironment::run(async |env| {
        let router = start(env).await?;
        let admin = router.envoy.admin()?;
        let mut stream = TcpStream::connect(router.envoy.address().await?).await?;
        widen(&mut stream).await?;

        let received = "http.yorkies.downstream_cx_rx_bytes_total";
        let before = admin.stats().await?[received];
        let start = [&head("x-api-key: project", 64 * BUFFER)[..], br#"{"x":""#].concat();
        stream.write_all(&start).await?;
        eventually("received", async || {
            let now = admin.stats().await?[received];
            ensure!(now >= before + start.len() as u64, "{now} after {before}");
            Ok(())
        })
        .await?;
        router.envoy.pause().await?;
        let flood = flood(&mut stream).await;
        router.envoy.resume().await?;
        let sent = flood?;
        ensure!(sent > 2 * BUFFER, "the kernel takes only {sent} bytes");

        let reply = read_reply(&mut stream).await?;
        if admin.version().await? == (1, 36) {
            // There the buffer cannot be made larger than what one read may bring.
            ensure!(reply.status == StatusCode::PAYLOAD_TOO_LARGE, "{reply:?}");
            return Ok(());
        }
        let refusal = Refusal::read(&reply, "application/json")?;
        ensure!(
            refusal.code == "invalid_argument" && refusal.message.contains("too large"),
            "{refusal:?}"
        );
        Ok(())
    });
}

fn head(header: &str, length: usize) -> Vec<u8> {
    format!(
        "POST {PUSH_PULL} HTTP/1.1\r\nhost: router\r\n{header}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// Sends a long body that is let through, so that the kernel takes in more on
/// this connection from then on.
async fn widen(stream: &mut TcpStream) -> Result<()> {
    let length = 16 * BUFFER;
    let header = format!("{SHARD_KEY}: project/note");
    stream.write_all(&head(&header, length)).await?;
    stream.write_all(&vec![b'a'; length]).await?;
    let reply = read_reply(stream).await?;
    ensure!(reply.status == StatusCode::OK, "{reply:?}");
    Ok(())
}

/// Sends as much as the kernel takes from one whose peer does not read.
async fn flood(stream: &mut TcpStream) -> Result<usize> {
    let piece = vec![b'a'; BUFFER];
    let mut sent = 0;
    while sent < 8 * BUFFER {
        match timeout(FULL, stream.write(&piece)).await {
            Ok(written) => sent += written?,
            Err(_) => break,
        }
    }
    Ok(sent)
}

/// Reads a response with a length, or in chunks, of which it keeps the text.
async fn read_reply(stream: &mut TcpStream) -> Result<Reply> {
    let mut bytes = Vec::new();
    let read = async {
        while !is_complete(&bytes) {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await?;
            ensure!(length > 0, "the connection ended");
            bytes.extend(&piece[..length]);
        }
        Ok(())
    };
    let read = timeout(patience(), read).await;
    read.context("no response")?
        .with_context(|| String::from_utf8_lossy(&bytes).into_owned())?;
    let text = String::from_utf8(bytes)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").context("no header")?;
        let name = HeaderName::from_bytes(name.as_bytes())?;
        headers.append(name, HeaderValue::from_str(value)?);
    }
    Ok(Reply {
        status: status.context("no status")?.parse()?,
        headers,
        body: body.to_owned().into(),
    })
}

fn is_complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let mut lines = head.lines();
    match lines.find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => length.parse() == Ok(body.len()),
        None => body.ends_with("0\r\n\r\n"),
    }
}
