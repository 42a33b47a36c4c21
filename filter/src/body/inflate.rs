//! gzip, as it comes: members one after the other, as servers read them.
//!
//! Checksums are passed over: a body that they contradict is refused by the
//! server that decodes all of it.

use std::fmt;

use miniz_oxide::inflate::stream::{InflateState, MinReset, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::error::{BodyError, Layer};

/// How much is inflated at once.
const PIECE: usize = 2048;

const HAS_CHECKSUM: u8 = 0x02;
const HAS_EXTRA: u8 = 0x04;
const HAS_NAME: u8 = 0x08;
const HAS_COMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

/// Inflates pieces of gzip. The window takes 32 KiB, so this exists only while
/// something compressed is read.
pub(super) struct Inflate {
    at: u64,
    part: Part,
    flags: u8,
    state: Box<InflateState>,
}

/// The part of a member that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Magic, method, flags, and six bytes that do not matter; how many came.
    Head(u8),
    /// Length of the extra field, and the bytes of it that came.
    ExtraLen(u16, u8),
    /// The rest of the extra field.
    Extra(u16),
    /// Up to a zero byte.
    Name,
    /// Up to a zero byte.
    Comment,
    /// What is left of the checksum of all this.
    Checksum(u8),
    /// The deflated bytes.
    Body,
    /// What is left of checksum and length.
    Trailer(u8),
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self {
            at: 0,
            part: Part::Head(0),
            flags: 0,
            state: InflateState::new_boxed(DataFormat::Raw),
        }
    }

    /// Inflates `bytes`, piece by piece, for as long as `sink` wants more.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<bool, BodyError>,
    ) -> Result<(), BodyError> {
        loop {
            if self.part == Part::Body {
                if !self.inflate(&mut bytes, &mut sink)? {
                    return Ok(());
                }
            } else {
                let Some((byte, rest)) = bytes.split_first() else {
                    return Ok(());
                };
                self.part = self.next(*byte)?;
                self.at += 1;
                bytes = rest;
            }
        }
    }

    /// Whether to go on with what is left of the bytes: a member has ended.
    fn inflate(
        &mut self,
        bytes: &mut &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<bool, BodyError>,
    ) -> Result<bool, BodyError> {
        let mut plain = [0; PIECE];
        loop {
            let result = inflate(&mut self.state, bytes, &mut plain, MZFlush::None);
            *bytes = bytes.get(result.bytes_consumed..).unwrap_or_default();
            self.at += result.bytes_consumed as u64;
            let wants_more = match plain.get(..result.bytes_written) {
                Some(piece) if !piece.is_empty() => sink(piece)?,
                _ => true,
            };
            match result.status {
                _ if !wants_more => return Ok(false),
                Ok(MZStatus::StreamEnd) => {
                    self.part = Part::Trailer(8);
                    return Ok(true);
                }
                Ok(_) if result.bytes_consumed > 0 || result.bytes_written > 0 => {}
                // No progress without more input.
                Ok(_) | Err(MZError::Buf) if bytes.is_empty() => return Ok(false),
                _ => return Err(Layer::Gzip.malformed(self.at, "not deflated data")),
            }
        }
    }

    /// The part after this byte, which is none of the deflated ones.
    fn next(&mut self, byte: u8) -> Result<Part, BodyError> {
        let problem = |problem| Err(Layer::Gzip.malformed(self.at, problem));
        Ok(match self.part {
            Part::Head(at) => {
                match at {
                    0 if byte != 0x1f => return problem("not the magic number"),
                    1 if byte != 0x8b => return problem("not the magic number"),
                    2 if byte != 8 => return problem("unknown method"),
                    3 if byte & RESERVED != 0 => return problem("reserved flags"),
                    3 => self.flags = byte,
                    _ => {}
                }
                match at {
                    0..9 => Part::Head(at + 1),
                    _ if self.flags & HAS_EXTRA != 0 => Part::ExtraLen(0, 0),
                    _ => self.after_extra(),
                }
            }
            Part::ExtraLen(low, 0) => Part::ExtraLen(low | u16::from(byte), 1),
            Part::ExtraLen(low, _) => match low | u16::from(byte) << 8 {
                0 => self.after_extra(),
                left => Part::Extra(left),
            },
            Part::Extra(left @ 2..) => Part::Extra(left - 1),
            Part::Extra(_) => self.after_extra(),
            Part::Name if byte == 0 => self.after_name(),
            Part::Comment if byte == 0 => self.after_comment(),
            Part::Checksum(left @ 2..) => Part::Checksum(left - 1),
            Part::Checksum(_) => Part::Body,
            Part::Trailer(left @ 2..) => Part::Trailer(left - 1),
            Part::Trailer(_) => {
                // What is left in the window is this body's own, and zeroing it for each of a
                // thousand empty members would be work that a client gets for nothing.
                self.state.reset_as(MinReset);
                Part::Head(0)
            }
            part @ (Part::Name | Part::Comment | Part::Body) => part,
        })
    }

    fn after_extra(&self) -> Part {
        match self.flags & HAS_NAME {
            0 => self.after_name(),
            _ => Part::Name,
        }
    }

    fn after_name(&self) -> Part {
        match self.flags & HAS_COMMENT {
            0 => self.after_comment(),
            _ => Part::Comment,
        }
    }

    fn after_comment(&self) -> Part {
        match self.flags & HAS_CHECKSUM {
            0 => Part::Body,
            _ => Part::Checksum(2),
        }
    }

    /// Fails within a member.
    pub(super) fn end(&self) -> Result<(), BodyError> {
        match self.part {
            Part::Head(0) if self.at > 0 => Ok(()),
            _ => Err(Layer::Gzip.ended(self.at)),
        }
    }
}

impl fmt::Debug for Inflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflate")
            .field("at", &self.at)
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
