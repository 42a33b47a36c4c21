//! Responses as gRPC's messages.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;

use crate::ads::message::{DeltaDiscoveryResponse, DiscoveryResponse};

/// A resource of this size is worth a frame of its own; smaller ones are
/// cheaper to copy.
const WORTH_SHARING: usize = 1024;

/// The number of the resources' field, in both responses.
const RESOURCES: u32 = 2;

/// A flag, for compression, and the length.
const HEAD: usize = 5;

/// A response with resources that are encoded already.
pub(crate) trait Response: Message {
    /// Takes them out.
    fn take_resources(&mut self) -> Vec<Bytes>;
}

impl Response for DiscoveryResponse {
    fn take_resources(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.resources)
    }
}

impl Response for DeltaDiscoveryResponse {
    fn take_resources(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.resources)
    }
}

/// A message with its head, in pieces: what is large in it is not copied but
/// shared, with the snapshot and with all streams that are sent the same.
///
/// # Errors
/// When gRPC has no number for its length.
pub(crate) fn pieces(mut response: impl Response) -> Result<VecDeque<Bytes>, Status> {
    let resources = response.take_resources();
    let key = |len: usize| key_len(RESOURCES) + encoded_len_varint(len as u64);
    let fields = resources.iter().map(|bytes| key(bytes.len()) + bytes.len());
    let length = response.encoded_len() + fields.sum::<usize>();
    let shared = resources.iter().map(Bytes::len);
    let shared = shared.filter(|len| *len >= WORTH_SHARING).sum::<usize>();
    let length = u32::try_from(length).map_err(|_| {
        Status::resource_exhausted(format!("response of {length} bytes is too long for gRPC"))
    })?;

    let mut own = BytesMut::with_capacity(HEAD + length as usize - shared);
    own.put_u8(0);
    own.put_u32(length);
    // In any order, fields are the same message.
    response.encode_raw(&mut own);
    let mut pieces = VecDeque::new();
    for resource in resources {
        encode_key(RESOURCES, WireType::LengthDelimited, &mut own);
        encode_varint(resource.len() as u64, &mut own);
        if resource.len() < WORTH_SHARING {
            own.put(resource);
        } else {
            pieces.push_back(own.split().freeze());
            pieces.push_back(resource);
        }
    }
    if !own.is_empty() {
        pieces.push_back(own.freeze());
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resources of these sizes.
    fn response(sizes: &[usize]) -> DiscoveryResponse {
        let bytes = |size: &usize| Bytes::from(vec![b'x'; *size]);
        DiscoveryResponse {
            version_info: "version".to_owned(),
            resources: sizes.iter().map(bytes).collect(),
            type_url: "type".to_owned(),
            nonce: "1-1".to_owned(),
            control_plane: None,
        }
    }

    #[test]
    fn the_pieces_are_the_message_behind_its_head() {
        let large = WORTH_SHARING;
        for sizes in [
            &[][..],
            &[0],
            &[large - 1],
            &[large],
            &[1, large, 2, 3, large + 1],
            &[large, large, 0],
        ] {
            let message = response(sizes);
            let pieces = pieces(message.clone()).unwrap();
            let whole = pieces.iter().flatten().copied().collect::<Vec<u8>>();
            let (head, body) = whole.split_at(HEAD);
            assert_eq!(head[0], 0, "not compressed");
            assert_eq!(head[1..], u32::try_from(body.len()).unwrap().to_be_bytes());
            assert_eq!(DiscoveryResponse::decode(body).unwrap(), message);
            assert!(pieces.iter().all(|piece| !piece.is_empty()), "{sizes:?}");
        }
    }

    #[test]
    fn what_is_large_is_sent_from_where_it_is() {
        let message = response(&[10, WORTH_SHARING, 10, 100_000]);
        let large = [&message.resources[1], &message.resources[3]];
        let places = large.map(|bytes| bytes.as_ptr());
        let first = pieces(message.clone()).unwrap();
        let second = pieces(message).unwrap();
        for pieces in [first, second] {
            assert_eq!(pieces.len(), 4);
            let shared = [&pieces[1], &pieces[3]].map(|piece| piece.as_ptr());
            assert_eq!(shared, places);
            let own: usize = [&pieces[0], &pieces[2]].map(Bytes::len).iter().sum();
            assert!(own < 100, "{own}");
        }
    }
}
