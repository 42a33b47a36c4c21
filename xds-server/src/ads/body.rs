//! The body of a response to a proxy.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use hyper::body::{Body, Frame};
use tonic::Status;

use crate::ads::codec::{self, Response};

/// Messages, and in the end gRPC's status. There is never more in here than one
/// message, and no copy of a resource.
pub(crate) struct Messages<S> {
    responses: Pin<Box<S>>,
    pieces: VecDeque<Bytes>,
    ended: bool,
}

impl<S> Messages<S> {
    pub(crate) fn new(responses: S) -> Self {
        Self {
            responses: Box::pin(responses),
            pieces: VecDeque::new(),
            ended: false,
        }
    }
}

impl<S, R> Body for Messages<S>
where
    S: Stream<Item = Result<R, Status>>,
    R: Response,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let next = ready!(self.responses.as_mut().poll_next(context));
            let next = next.unwrap_or_else(|| Err(Status::ok("")));
            match next.and_then(codec::pieces) {
                Ok(pieces) => self.pieces = pieces,
                Err(status) => {
                    self.ended = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
                }
            }
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Only a text that is no header's can fail, and texts are encoded.
    let _ = status.add_header(&mut trailers);
    trailers
}
