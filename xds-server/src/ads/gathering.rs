//! Writes of a connection, gathered.
//!
//! To Envoy a frame of HTTP/2 carries 16 KB at most, and each would go to the
//! system by itself. All that one poll of a connection has to say in one piece
//! takes a third of the processor time.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What waits for the system beyond this, in bytes, is not taken: so much a
/// connection can cost whose other end does not read.
const FULL: usize = 128 << 10;

thread_local! {
    /// The buffer of whoever writes next on this thread.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The end of a connection that HTTP/2 uses: what it writes waits for
/// [`flushing`].
pub(crate) struct Gathering<T>(Arc<Mutex<Shared<T>>>);

struct Shared<T> {
    io: T,
    buffer: Vec<u8>,
    /// How much of it the system has taken.
    taken: usize,
}

impl<T> Clone for Gathering<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: AsyncWrite + Unpin> Gathering<T> {
    pub(crate) fn new(io: T) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            io,
            buffer: Vec::new(),
            taken: 0,
        })))
    }

    /// Only ever used from within the one task of the connection.
    fn lock(&self) -> MutexGuard<'_, Shared<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what writes to `gathering`, and hands all that a poll of it has written
/// to the system, as far as that takes it.
pub(crate) async fn flushing<T, F>(gathering: Gathering<T>, future: F) -> F::Output
where
    T: AsyncWrite + Unpin,
    F: Future,
{
    let mut future = pin!(future);
    poll_fn(|context| {
        let result = future.as_mut().poll(context);
        // What fails here fails again in the next write, or read.
        let _ = gathering.lock().poll_drain(context);
        result
    })
    .await
}

impl<T: AsyncWrite + Unpin> Shared<T> {
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.taken < self.buffer.len() {
            let rest = &self.buffer[self.taken..];
            let written = ready!(Pin::new(&mut self.io).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += written;
        }
        self.taken = 0;
        self.buffer.clear();
        if self.buffer.capacity() > 0 {
            SPARE.set(take(&mut self.buffer));
        }
        Pin::new(&mut self.io).poll_flush(context)
    }

    /// Makes room for more.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.len() >= FULL {
            ready!(self.poll_drain(context))?;
        }
        if self.buffer.capacity() == 0 {
            self.buffer = SPARE.take();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gathering<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.lock();
        ready!(shared.poll_room(context))?;
        shared.buffer.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.lock();
        ready!(shared.poll_room(context))?;
        for slice in slices {
            shared.buffer.extend_from_slice(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// HTTP/2 asks for it after each large frame; [`flushing`] does it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        ready!(shared.poll_drain(context))?;
        Pin::new(&mut shared.io).poll_shutdown(context)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathering<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_one_poll_writes_goes_out_together_and_whole() {
        let (mut near, far) = duplex(1 << 20);
        let gathering = Gathering::new(far);
        let mut writer = gathering.clone();
        let writing = async {
            for _ in 0..3 {
                writer.write_all(b"frame").await.unwrap();
                writer.flush().await.unwrap();
            }
            assert_eq!(writer.lock().buffer.len(), 15, "nothing has left");
        };
        flushing(gathering, writing).await;
        let mut read = [0; 15];
        near.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"frameframeframe");
    }

    #[tokio::test]
    async fn who_does_not_read_is_written_a_bounded_amount_and_later_the_rest() {
        let frame = vec![7; 16 << 10];
        let (mut near, far) = duplex(1000);
        let gathering = Gathering::new(far);
        let mut writer = gathering.clone();
        let writing = async {
            for _ in 0..100 {
                writer.write_all(&frame).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        };
        let mut writing = pin!(flushing(gathering.clone(), writing));
        let first = poll_fn(|context| Poll::Ready(writing.as_mut().poll(context))).await;
        assert!(first.is_pending());
        let kept = gathering.lock().buffer.len();
        assert!(kept <= FULL + frame.len(), "{kept}");
        let mut all = Vec::new();
        let reading = near.read_to_end(&mut all);
        let (read, ()) = tokio::join!(reading, writing);
        assert_eq!(read.unwrap(), 100 * frame.len());
    }
}
