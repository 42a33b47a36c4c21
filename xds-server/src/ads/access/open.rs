//! The requests that are open on one connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Status;
use tonic::body::Body;

/// Counts them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open(Arc<watch::Sender<u32>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest(Open);

/// Why a connection is of no use to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Useless {
    /// It never had a request.
    Never,
    /// It has none any more.
    NoLonger,
}

impl Open {
    /// Begins one, unless there are `most`.
    pub(crate) fn begin(&self, most: u32) -> Option<OpenRequest> {
        let begun = self.0.send_if_modified(|open| {
            let has_room = *open < most;
            *open += u32::from(has_room);
            has_room
        });
        begun.then(|| OpenRequest(self.clone()))
    }

    /// Completes when no request came until `first`, or when for as long as
    /// `idle` none was open after that.
    pub(crate) async fn useless(&self, first: Instant, idle: Duration) -> Useless {
        let mut open = self.0.subscribe();
        if *open.borrow_and_update() == 0 {
            match timeout_at(first, open.changed()).await {
                Ok(_) => {}
                Err(_) => return Useless::Never,
            }
        }
        loop {
            let is_unused = *open.borrow_and_update() == 0;
            let limit = if is_unused { idle } else { Duration::MAX };
            match timeout(limit, open.changed()).await {
                Ok(_) => {}
                Err(_) => return Useless::NoLonger,
            }
        }
    }
}

impl OpenRequest {
    /// The response that ends it, when it has been sent or is of no use any more.
    pub(crate) fn until_sent(self, body: Body) -> Body {
        Body::new(Held {
            body,
            _request: self,
        })
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}

struct Held {
    body: Body,
    _request: OpenRequest,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn there_are_so_many_at_a_time() {
        let open = Open::default();
        let first = open.begin(2).unwrap();
        let _second = open.begin(2).unwrap();
        assert!(open.begin(2).is_none());
        drop(first);
        assert!(open.begin(2).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_first_request_it_is_useless() {
        let start = Instant::now();
        let useless = Open::default().useless(start + SECOND, 9 * SECOND).await;
        assert_eq!((useless, start.elapsed()), (Useless::Never, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_request_for_long_it_is_useless() {
        let open = Open::default();
        let start = Instant::now();
        let use_it = async {
            for _ in 0..3 {
                let first = open.begin(9).unwrap();
                tokio::time::sleep(60 * SECOND).await;
                let _second = open.begin(9).unwrap();
                tokio::time::sleep(60 * SECOND).await;
                drop(first);
                tokio::time::sleep(60 * SECOND).await;
            }
        };
        let (useless, ()) = tokio::join!(open.useless(start + SECOND, 9 * SECOND), use_it);
        assert_eq!(useless, Useless::NoLonger);
        assert_eq!(start.elapsed(), (540 + 9) * SECOND);
    }
}
