//! The five bytes before every message of a stream: flags, then the length in
//! network order. Connect, gRPC and gRPC-Web differ only in the flags.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::compression::Compression;
use super::error::{Code, RpcError};

/// The message is compressed.
pub const COMPRESSED: u8 = 0x01;
/// Connect: the message is the JSON end of the stream.
pub const CONNECT_END: u8 = 0x02;
/// gRPC-Web: the message holds the trailers.
pub const WEB_TRAILERS: u8 = 0x80;

const PREFIX: usize = 5;

/// Puts the envelope around a payload.
#[must_use]
pub fn wrap(flags: u8, payload: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + payload.len());
    framed.put_u8(flags);
    framed.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    framed.put_slice(payload);
    framed.freeze()
}

/// Takes the next envelope off `body`: its flags and payload, or nothing at the
/// end of the body.
///
/// # Errors
/// `invalid_argument` when the body ends inside an envelope,
/// `resource_exhausted` when the message is longer than `limit`.
pub fn next(body: &mut Bytes, limit: usize) -> Result<Option<(u8, Bytes)>, RpcError> {
    if body.is_empty() {
        return Ok(None);
    }
    if body.len() < PREFIX {
        return Err(RpcError::new(
            Code::InvalidArgument,
            "protocol error: incomplete envelope: unexpected EOF",
        ));
    }
    let prefix = body.split_to(PREFIX);
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if length > limit {
        return Err(RpcError::new(
            Code::ResourceExhausted,
            format!("message size {length} is larger than configured max {limit}"),
        ));
    }
    if body.len() < length {
        return Err(RpcError::new(
            Code::InvalidArgument,
            format!(
                "protocol error: promised {length} bytes in enveloped message, got {} bytes",
                body.len()
            ),
        ));
    }
    Ok(Some((prefix[0], body.split_to(length))))
}

/// The one request message in a body.
///
/// # Errors
/// As [`next`]; `unimplemented` when there is not exactly one message; the
/// errors of [`Compression::decompress`].
pub fn single_message(
    mut body: Bytes,
    limit: usize,
    compression: Compression,
) -> Result<Bytes, RpcError> {
    let Some((flags, payload)) = next(&mut body, limit)? else {
        return Err(RpcError::new(
            Code::Unimplemented,
            "request has zero messages",
        ));
    };
    if flags & !COMPRESSED != 0 {
        return Err(RpcError::new(
            Code::InvalidArgument,
            format!("protocol error: invalid envelope flags {flags}"),
        ));
    }
    while let Some((flags, _)) = next(&mut body, limit)? {
        if flags & (CONNECT_END | WEB_TRAILERS) == 0 {
            return Err(RpcError::new(
                Code::Unimplemented,
                "request has multiple messages",
            ));
        }
    }
    if flags & COMPRESSED == 0 {
        return Ok(payload);
    }
    if compression == Compression::Identity {
        return Err(RpcError::new(
            Code::Internal,
            "protocol error: sent compressed message without compression support",
        ));
    }
    compression.decompress(payload, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(body: &[u8]) -> Result<Bytes, RpcError> {
        single_message(Bytes::copy_from_slice(body), 16, Compression::Identity)
    }

    #[test]
    fn what_is_wrapped_is_read_back() {
        assert_eq!(single(&wrap(0, b"hello")).expect("valid"), "hello");
        assert_eq!(single(&wrap(0, b"")).expect("valid"), "");
    }

    #[test]
    fn every_cut_is_an_error_and_none_panics() {
        let whole = wrap(0, b"hello");
        for end in 1..whole.len() {
            let error = single(&whole[..end]).expect_err("cut");
            assert_eq!(error.code, Code::InvalidArgument, "cut at {end}");
        }
    }

    #[test]
    fn exactly_one_message_is_taken() {
        assert_eq!(single(b"").expect_err("none").code, Code::Unimplemented);
        let two = [wrap(0, b"a"), wrap(0, b"b")].concat();
        assert_eq!(single(&two).expect_err("two").code, Code::Unimplemented);
        let ended = [wrap(0, b"a"), wrap(CONNECT_END, b"{}")].concat();
        assert_eq!(single(&ended).expect("an end is no message"), "a");
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_read() {
        let error = single(&[0, 0xff, 0xff, 0xff, 0xff]).expect_err("huge");
        assert_eq!(error.code, Code::ResourceExhausted);
    }

    #[test]
    fn flags_are_checked() {
        assert_eq!(
            single(&wrap(COMPRESSED, b"x")).expect_err("").code,
            Code::Internal
        );
        assert_eq!(
            single(&wrap(0x40, b"x")).expect_err("").code,
            Code::InvalidArgument
        );
    }
}
