//! A connection between two processes that can fail as networks do.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::eventually;

/// Bytes that are forwarded at once: so few that a cut falls into the middle of
/// a message.
const PIECE: usize = 4096;

/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_millis(20);

/// What a [`Link`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It forwards.
    Open,
    /// Connections stay and are accepted, and nothing comes through: as behind
    /// a firewall that drops. What was sent arrives when it is open again.
    Hanging,
    /// Connections are reset, and new ones too, once they are accepted.
    Resetting,
    /// Connections are reset, and nobody listens.
    Refusing,
}

/// Forwards connections from an address of its own, until it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    passage: watch::Sender<Passage>,
    /// What it does already.
    reached: watch::Receiver<Passage>,
    forwarding: AbortHandle,
}

impl Link {
    /// An open link to that address.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (passage, wanted) = watch::channel(Passage::Open);
        let (done, reached) = watch::channel(Passage::Open);
        let forwarding = forward_all(listener, address, target, wanted, done);
        Ok(Self {
            address,
            passage,
            reached,
            forwarding: tokio::spawn(forwarding).abort_handle(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it do that, and waits until it does.
    pub async fn set(&self, passage: Passage) -> Result<()> {
        self.passage.send_replace(passage);
        eventually("what the link was told to be", async || {
            let reached = *self.reached.borrow();
            ensure!(reached == passage, "still {reached:?}");
            Ok(())
        })
        .await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn forward_all(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut wanted: watch::Receiver<Passage>,
    done: watch::Sender<Passage>,
) {
    let mut listener = Some(listener);
    // Dropped with this task.
    let mut connections = JoinSet::new();
    loop {
        let passage = *wanted.borrow_and_update();
        if passage == Passage::Refusing {
            listener = None;
        } else if listener.is_none() {
            listener = Some(listen_again(address).await);
        }
        if matches!(passage, Passage::Resetting | Passage::Refusing) {
            connections.shutdown().await;
        }
        done.send_replace(passage);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            accepted = accept(listener.as_ref()) => {
                if passage == Passage::Resetting {
                    // Without a word, whatever was sent.
                    let _ = accepted.set_zero_linger();
                } else {
                    connections.spawn(forward(accepted, target, wanted.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Meanwhile its port may have become the other end of any connection.
async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    if let Some(listener) = listener
        && let Ok((stream, _)) = listener.accept().await
    {
        return stream;
    }
    std::future::pending().await
}

/// Forwards one connection in both directions until one of its ends is lost.
async fn forward(near: TcpStream, target: SocketAddr, passages: watch::Receiver<Passage>) {
    let mut waiting = passages.clone();
    if is_open(&mut waiting).await.is_none() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else {
        let _ = near.set_zero_linger();
        return;
    };
    for stream in [&near, &far] {
        // Whoever is dropped unread is gone as if its cable had been pulled.
        let _ = (stream.set_nodelay(true), stream.set_zero_linger());
    }
    let (near, far) = (near.into_split(), far.into_split());
    let up = pump(near.0, far.1, passages.clone());
    let down = pump(far.0, near.1, passages);
    tokio::select! {
        _ = up => {}
        _ = down => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passages: watch::Receiver<Passage>,
) -> Option<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let length = from.read(&mut buffer).await.ok()?;
        is_open(&mut passages).await?;
        let piece = buffer.get(..length).filter(|piece| !piece.is_empty())?;
        to.write_all(piece).await.ok()?;
    }
}

/// Waits until something may come through; `None` if that will never be.
async fn is_open(passages: &mut watch::Receiver<Passage>) -> Option<()> {
    let open = passages.wait_for(|passage| *passage == Passage::Open);
    open.await.ok().map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// A link to somebody who says everything back, and a connection through it.
    async fn echoing() -> Result<(Link, TcpStream)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let link = Link::to(listener.local_addr()?).await?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let mut stream = TcpStream::connect(link.address()).await?;
        expect_echo(&mut stream).await?;
        Ok((link, stream))
    }

    async fn expect_echo(stream: &mut TcpStream) -> Result<()> {
        stream.write_u8(7).await?;
        ensure!(stream.read_u8().await? == 7);
        Ok(())
    }

    async fn end(stream: &mut TcpStream) -> Option<ErrorKind> {
        stream.read_u8().await.err().map(|error| error.kind())
    }

    #[tokio::test]
    async fn what_hangs_arrives_later() -> Result<()> {
        let (link, mut stream) = echoing().await?;
        link.set(Passage::Hanging).await?;
        stream.write_u8(8).await?;
        let mut other = TcpStream::connect(link.address()).await?;
        other.write_u8(9).await?;
        let silence = Duration::from_millis(100);
        let early = tokio::time::timeout(silence, stream.read_u8()).await;
        ensure!(early.is_err(), "{early:?} came through");
        link.set(Passage::Open).await?;
        ensure!((stream.read_u8().await?, other.read_u8().await?) == (8, 9));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_cut_is_gone_and_can_come_again() -> Result<()> {
        for passage in [Passage::Resetting, Passage::Refusing] {
            let (link, mut stream) = echoing().await?;
            link.set(passage).await?;
            ensure!(end(&mut stream).await.is_some(), "{passage:?}");
            match TcpStream::connect(link.address()).await {
                Ok(mut other) => ensure!(
                    passage == Passage::Resetting && end(&mut other).await.is_some(),
                    "{passage:?}"
                ),
                Err(error) => ensure!(
                    passage == Passage::Refusing && error.kind() == ErrorKind::ConnectionRefused,
                    "{passage:?}: {error}"
                ),
            }
            link.set(Passage::Open).await?;
            expect_echo(&mut TcpStream::connect(link.address()).await?).await?;
        }
        Ok(())
    }
}
