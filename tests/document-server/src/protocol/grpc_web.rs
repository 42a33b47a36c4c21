//! Writing answers in gRPC-Web: as gRPC, with the trailers in the body.

use bytes::Bytes;
use hyper::body::Frame;

use super::error::RpcError;
use super::{envelope, grpc};

/// The last envelope of a gRPC-Web body.
pub(crate) fn end_of_stream(outcome: &Result<(), RpcError>) -> Frame<Bytes> {
    let mut block = Vec::new();
    for (name, value) in &grpc::trailers(outcome) {
        block.extend_from_slice(name.as_str().as_bytes());
        block.extend_from_slice(b": ");
        block.extend_from_slice(value.as_bytes());
        block.extend_from_slice(b"\r\n");
    }
    Frame::data(envelope::wrap(envelope::WEB_TRAILERS, &block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_a_block_of_lines() {
        let frame = end_of_stream(&Ok(()))
            .into_data()
            .expect("data, not trailers");
        assert_eq!(frame, envelope::wrap(0x80, b"grpc-status: 0\r\n"));
    }
}
