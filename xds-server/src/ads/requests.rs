//! A proxy's requests, as gRPC's messages in the body of its RPC.
//!
//! tonic's decoder keeps a buffer of 8 KB for each stream; between two requests
//! this one keeps none.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Body;
use prost::Message;
use tonic::Status;

/// A flag, for compression, and the length.
const HEAD: usize = 5;

/// Requests of type `R` in a body.
pub(crate) struct Requests<R, B> {
    body: B,
    unread: BytesMut,
    largest: usize,
    request: PhantomData<fn() -> R>,
}

impl<R, B> Requests<R, B>
where
    R: Message + Default,
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    /// `largest` is the most bytes that a request may have.
    pub(crate) fn new(body: B, largest: usize) -> Self {
        Self {
            body,
            unread: BytesMut::new(),
            largest,
            request: PhantomData,
        }
    }

    /// The next request; `None` when there will be no other. Nothing is lost
    /// when it is not waited for to the end.
    ///
    /// # Errors
    /// When the stream breaks, or what comes is no request.
    pub(crate) async fn next(&mut self) -> Result<Option<R>, Status> {
        loop {
            if let Some(request) = self.decode()? {
                return Ok(Some(request));
            }
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            match frame {
                None if self.unread.is_empty() => return Ok(None),
                None => return Err(Status::internal("stream ends in the middle of a request")),
                Some(Err(error)) => return Err(Status::unavailable(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.unread.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    fn decode(&mut self) -> Result<Option<R>, Status> {
        let Some(&[compressed, a, b, c, d]) = self.unread.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err(Status::unimplemented(
                "request is compressed: expected none",
            ));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.largest {
            return Err(Status::resource_exhausted(format!(
                "request has {length} bytes: expected at most {}",
                self.largest
            )));
        }
        if self.unread.len() < HEAD + length {
            return Ok(None);
        }
        self.unread.advance(HEAD);
        let request = R::decode(self.unread.split_to(length));
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
        request
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("request is malformed: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::{Context, Poll};

    use hyper::body::Frame;
    use tonic::Code;

    use super::*;
    use crate::ads::message::DiscoveryRequest;

    /// A body in pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn request(type_url: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: type_url.to_owned(),
            ..DiscoveryRequest::default()
        }
    }

    fn encoded(requests: &[&str]) -> Vec<u8> {
        let encode = |type_url: &&str| {
            let body = request(type_url).encode_to_vec();
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            [&[0][..], &length, &body].concat()
        };
        requests.iter().flat_map(encode).collect()
    }

    fn requests(bytes: &[u8], size: usize) -> Requests<DiscoveryRequest, Pieces> {
        let pieces = bytes.chunks(size).map(Bytes::copy_from_slice);
        Requests::new(Pieces(pieces.collect()), 100)
    }

    #[tokio::test]
    async fn requests_are_found_in_whatever_pieces_they_come_and_leave_no_buffer() {
        let urls = ["first", "", "third"];
        let all = encoded(&urls);
        for size in 1..=all.len() {
            let mut requests = requests(&all, size);
            for url in urls {
                assert_eq!(requests.next().await.unwrap(), Some(request(url)));
            }
            assert_eq!(requests.unread.capacity(), 0);
            assert_eq!(requests.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn what_is_no_request_is_an_error() {
        let whole = encoded(&["first"]);
        for (bytes, code) in [
            (&whole[..whole.len() - 1], Code::Internal),
            (&whole[..3], Code::Internal),
            (&[1, 0, 0, 0, 0][..], Code::Unimplemented),
            (&[0, 0, 0, 0, 101][..], Code::ResourceExhausted),
            (&[0, 0, 0, 0, 1, 7][..], Code::InvalidArgument),
        ] {
            let error = requests(bytes, 2).next().await.unwrap_err();
            assert_eq!(error.code(), code, "{error:?}");
        }
    }
}
