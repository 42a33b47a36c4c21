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

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use std::future::poll_fn;
    use tonic::Code;

    use super::*;
    use crate::ads::message::{DeltaDiscoveryRequest, DiscoveryRequest};
    use crate::ads::session::{Session, StreamId};
    use crate::ads::support::{EDS, snapshot};
    use crate::ads::{delta, sotw};

    async fn frames<R: Response>(responses: Vec<R>) -> Vec<Frame<Bytes>> {
        let mut body = Messages::new(stream::iter(responses.into_iter().map(Ok)));
        let mut frames = Vec::new();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            frames.push(frame.unwrap());
        }
        frames
    }

    /// Where the data of these frames is that is not small.
    fn places(frames: &[Frame<Bytes>]) -> Vec<*const u8> {
        let data = frames.iter().filter_map(Frame::data_ref);
        let large = data.filter(|data| data.len() > 1000);
        large.map(|data| data.as_ptr()).collect()
    }

    #[tokio::test]
    async fn every_stream_of_either_variant_sends_the_bytes_of_the_snapshot() {
        let content = "x".repeat(50_000);
        let snapshot = snapshot(&[(EDS, "e", &content)]);
        let published = &snapshot.of(EDS)["e"];
        for stream in 1..=3 {
            let request = DiscoveryRequest {
                type_url: EDS.type_url().to_owned(),
                resource_names: vec!["e".to_owned()],
                ..DiscoveryRequest::default()
            };
            let mut session = sotw::Session::new(StreamId(stream), "server", None);
            let responses = session.on_request(request, &snapshot).responses;
            let places_of_it = places(&frames(responses).await);
            assert_eq!(places_of_it, [published.any().as_ptr()]);

            let request = DeltaDiscoveryRequest {
                type_url: EDS.type_url().to_owned(),
                resource_names_subscribe: vec!["e".to_owned()],
                ..DeltaDiscoveryRequest::default()
            };
            let mut session = delta::Session::new(StreamId(stream), "server", None);
            let responses = session.on_request(request, &snapshot).responses;
            let places_of_it = places(&frames(responses).await);
            assert_eq!(places_of_it, [published.named().as_ptr()]);
        }
    }

    #[tokio::test]
    async fn the_end_is_a_status() {
        let frames = frames::<crate::ads::message::DiscoveryResponse>(Vec::new()).await;
        let [end] = frames.as_slice() else {
            panic!("{frames:?}");
        };
        let trailers = end.trailers_ref().unwrap();
        let status = Status::from_header_map(trailers).unwrap();
        assert_eq!(status.code(), Code::Ok);
    }
}
