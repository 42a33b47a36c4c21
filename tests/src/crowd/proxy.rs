//! One proxy: a connection with one stream.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::crowd::grpc::Messages;
use crate::crowd::http2::{self, FIRST_WINDOW, Frames, WINDOW};
use crate::crowd::stopwatch::Stopwatch;
use crate::crowd::subscriber::Subscriber;

/// What all connections read into, in turn.
pub(crate) type Buffer = Rc<RefCell<Box<[u8]>>>;

/// Large enough for a whole update.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;

/// Connects, and accepts what it is sent until the connection ends, which is
/// an error.
pub(crate) async fn run(
    target: SocketAddr,
    number: usize,
    mut subscriber: Subscriber,
    endpoints: &[String],
    buffer: Buffer,
    stopwatch: Rc<RefCell<Stopwatch>>,
) -> Result<()> {
    let mut stream = connect(target, &mut subscriber, endpoints, WINDOW).await?;
    let (mut out, mut requests) = (BytesMut::new(), BytesMut::new());
    let (mut frames, mut messages, mut arrived) =
        (Frames::default(), Messages::default(), Vec::new());
    loop {
        stream.readable().await?;
        out.clear();
        {
            let mut buffer = buffer.borrow_mut();
            let read = match stream.try_read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                read => read?,
            };
            ensure!(read > 0, "the server has closed the connection");
            let now = Instant::now();
            frames.feed(&buffer[..read], &mut out, |data| {
                messages.feed(data, now, &mut arrived)
            })?;
        }
        let mut accepted = Vec::with_capacity(arrived.len());
        for message in arrived.drain(..) {
            requests.clear();
            let kind = subscriber.accept(message.body, &mut requests)?;
            http2::data(&mut out, &requests);
            accepted.push((kind, message.began));
        }
        if !out.is_empty() {
            stream.write_all(&out).await?;
        }
        let now = Instant::now();
        for (kind, began) in accepted {
            stopwatch.borrow_mut().accepted(number, kind, began, now);
        }
    }
}

/// Connects, asks, and never reads. A server can send it no more than HTTP/2
/// grants unasked.
pub(crate) async fn stuck(
    target: SocketAddr,
    mut subscriber: Subscriber,
    endpoints: &[String],
) -> Result<TcpStream> {
    connect(target, &mut subscriber, endpoints, FIRST_WINDOW).await
}

async fn connect(
    target: SocketAddr,
    subscriber: &mut Subscriber,
    endpoints: &[String],
    window: u32,
) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(target).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let mut out = http2::open(&target.to_string(), subscriber.path(), window);
    let mut requests = BytesMut::new();
    subscriber.start(endpoints, &mut requests);
    http2::data(&mut out, &requests);
    stream.write_all(&out).await?;
    Ok(stream)
}
