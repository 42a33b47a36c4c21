//! The envelope before a message: a byte of flags and four of length, big
//! endian.

use super::error::{BodyError, Layer};

const LEN: u64 = 5;
const COMPRESSED: u8 = 0x01;
/// The end of a Connect stream.
const END_OF_STREAM: u8 = 0x02;
/// The trailers of a gRPC-Web stream.
const TRAILERS: u8 = 0x80;

/// Finds the first message of a stream.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    read: u64,
    flags: u8,
    /// Length while its bytes come, then what is left of the message.
    left: u32,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Part of the envelope.
    Head,
    /// The envelope is complete: a message follows.
    Start {
        /// Whether it is compressed, which an empty one never is.
        compressed: bool,
    },
    /// The end of the stream instead of a message.
    NoMessage,
    /// A piece of the message.
    Message(&'a [u8]),
}

impl Envelope {
    /// Takes the next part off `bytes`, which must not be empty before
    /// [`Envelope::is_over`].
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Part<'a>, BodyError> {
        if self.read >= LEN {
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (message, rest) = bytes.split_at(left.min(bytes.len()));
            *bytes = rest;
            // No longer than what is left.
            self.left -= message.len() as u32;
            self.read += message.len() as u64;
            return Ok(Part::Message(message));
        }
        let Some((byte, rest)) = bytes.split_first() else {
            return Ok(Part::Head);
        };
        *bytes = rest;
        if self.read == 0 {
            self.flags = *byte;
            let known = COMPRESSED | END_OF_STREAM | TRAILERS;
            if *byte & !known != 0 || *byte & known == END_OF_STREAM | TRAILERS {
                return Err(Layer::Envelope.malformed(0, "unknown flags"));
            }
        } else {
            self.left = self.left << 8 | u32::from(*byte);
        }
        self.read += 1;
        Ok(if self.read < LEN {
            Part::Head
        } else if self.flags & !COMPRESSED != 0 {
            Part::NoMessage
        } else {
            Part::Start {
                compressed: self.flags & COMPRESSED != 0 && self.left > 0,
            }
        })
    }

    /// Whether the message is complete.
    pub(super) fn is_over(&self) -> bool {
        self.read >= LEN && self.left == 0
    }

    /// The error if the body ends here; a body without any message is none.
    pub(super) fn end(&self) -> Result<(), BodyError> {
        if self.read == 0 || self.is_over() {
            Ok(())
        } else {
            Err(Layer::Envelope.ended(self.read))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(mut bytes: &[u8]) -> Vec<Part<'_>> {
        let mut envelope = Envelope::default();
        let mut parts = Vec::new();
        while !bytes.is_empty() && !envelope.is_over() {
            parts.push(envelope.next(&mut bytes).unwrap());
        }
        parts.retain(|part| *part != Part::Head);
        parts
    }

    #[test]
    fn only_the_first_message_is_read() {
        let start = |compressed| Part::Start { compressed };
        assert_eq!(
            parts(b"\0\0\0\0\x02ab\0\0\0\0\x01c"),
            [start(false), Part::Message(b"ab")]
        );
        assert_eq!(
            parts(b"\x01\0\0\0\x02ab"),
            [start(true), Part::Message(b"ab")]
        );
        assert_eq!(parts(b"\0\0\0\0\0x"), [start(false)]);
    }

    #[test]
    fn an_empty_message_is_never_compressed() {
        assert_eq!(parts(b"\x01\0\0\0\0"), [Part::Start { compressed: false }]);
    }

    #[test]
    fn the_end_of_the_stream_is_no_message() {
        for flags in [0x02, 0x03, 0x80, 0x81] {
            assert_eq!(parts(&[flags, 0, 0, 0, 2]), [Part::NoMessage], "{flags}");
        }
    }

    #[test]
    fn unknown_flags_are_refused() {
        for flags in [0x04, 0x40, 0x82, 0xff] {
            let error = Layer::Envelope.malformed(0, "unknown flags");
            let bytes = [flags];
            let part = Envelope::default().next(&mut bytes.as_slice());
            assert_eq!(part, Err(error), "{flags}");
        }
    }

    #[test]
    fn the_length_is_big_endian_and_may_be_the_largest() {
        let mut envelope = Envelope::default();
        let mut bytes = b"\0\xff\xff\xff\xff??".as_slice();
        while !bytes.is_empty() {
            envelope.next(&mut bytes).unwrap();
        }
        assert_eq!(envelope.left, u32::MAX - 2);
        assert_eq!(envelope.end(), Err(Layer::Envelope.ended(7)));
    }
}
