//! Protobuf's wire format, as it comes.
//!
//! Only messages on the way to what is wanted are opened; every other field is
//! counted, not kept. A field of another wire type than text and messages have
//! is an unknown one, as it is to every decoder. Groups are refused: proto3 has
//! none.

use super::error::{BodyError, Layer};
use super::search::{Collector, MAX_VALUE_LEN, Place};

const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// Longest field of protobuf.
const MAX_LEN: u64 = i32::MAX as u64;

/// Reads one message.
#[derive(Debug)]
pub(super) struct Proto {
    at: u64,
    /// The messages that the scanner is in, innermost last.
    open: Vec<Open>,
    state: State,
}

#[derive(Debug)]
struct Open {
    place: Place,
    /// Where it ends; the body's own message has no end of its own.
    end: u64,
}

#[derive(Debug)]
enum State {
    /// Field number and wire type.
    Tag(Varint),
    /// A number, which is never wanted.
    Number(Varint),
    /// Length of a field.
    Len(Place, Varint),
    /// What is left of a field that is not wanted.
    Skip(u64),
    /// A wanted value, and what is left of it.
    Text(Place, Vec<u8>, u64),
}

/// A number in groups of seven bits, the lowest first.
#[derive(Debug, Default, Clone, Copy)]
struct Varint {
    value: u64,
    len: u32,
}

impl Varint {
    /// Takes a byte; gives the number when it is complete. Superfluous zeros are
    /// allowed, as by every decoder, up to ten bytes.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, &'static str> {
        if self.len == 9 && byte > 1 {
            return Err("a number has more than 64 bits");
        }
        self.value |= u64::from(byte & 0x7f) << (7 * self.len);
        self.len += 1;
        Ok((byte < 0x80).then_some(self.value))
    }
}

impl Proto {
    pub(super) fn new(root: Place) -> Self {
        Self {
            at: 0,
            open: vec![Open {
                place: root,
                end: u64::MAX,
            }],
            state: State::Tag(Varint::default()),
        }
    }

    /// Reads on, until nothing more is needed.
    pub(super) fn feed(&mut self, mut bytes: &[u8], out: &mut Collector) -> Result<(), BodyError> {
        while !out.is_satisfied() {
            match &mut self.state {
                State::Skip(left) => {
                    let skipped = take(&mut bytes, left);
                    self.at += skipped.len() as u64;
                    if *left > 0 {
                        return Ok(());
                    }
                    self.next_field();
                }
                State::Text(place, text, left) => {
                    let piece = take(&mut bytes, left);
                    self.at += piece.len() as u64;
                    text.extend_from_slice(piece);
                    if *left > 0 {
                        return Ok(());
                    }
                    out.take(*place, std::mem::take(text))?;
                    self.next_field();
                }
                State::Tag(_) | State::Number(_) | State::Len(..) => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(());
                    };
                    self.step(*byte, out)?;
                    bytes = rest;
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8, out: &Collector) -> Result<(), BodyError> {
        if self.at >= self.end() {
            return self.fail("a field is cut off by the end of its message");
        }
        let (State::Tag(varint) | State::Number(varint) | State::Len(_, varint)) = &mut self.state
        else {
            return Ok(());
        };
        let value = match varint.push(byte) {
            Ok(value) => value,
            Err(problem) => return self.fail(problem),
        };
        let Some(value) = value else {
            self.at += 1;
            return Ok(());
        };
        match self.state {
            State::Tag(_) => self.tag(value, out)?,
            State::Len(place, _) => self.len(place, value, out)?,
            _ => {
                self.at += 1;
                self.next_field();
            }
        }
        Ok(())
    }

    fn tag(&mut self, tag: u64, out: &Collector) -> Result<(), BodyError> {
        let number = tag >> 3;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return self.fail("not a field number");
        }
        let state = match tag & 7 {
            0 => State::Number(Varint::default()),
            1 => State::Skip(8),
            2 => {
                let place = self.open.last().map(|message| message.place);
                let is_field = |field: &sharding::Field| u64::from(field.number()) == number;
                let Some(place) = place.map(|place| out.below(place, is_field)) else {
                    return Ok(());
                };
                State::Len(place, Varint::default())
            }
            3 | 4 => return self.fail("groups are not supported"),
            5 => State::Skip(4),
            _ => return self.fail("unknown wire type"),
        };
        self.at += 1;
        if let State::Skip(len) = state
            && len > self.end() - self.at
        {
            return self.fail("a field is longer than its message");
        }
        self.state = state;
        Ok(())
    }

    fn len(&mut self, place: Place, len: u64, out: &Collector) -> Result<(), BodyError> {
        if len > MAX_LEN {
            return self.fail("a field is longer than 2 GiB");
        }
        self.at += 1;
        if len > self.end() - self.at {
            return self.fail("a field is longer than its message");
        }
        if place.is_nowhere() {
            self.state = State::Skip(len);
        } else if out.ending(place).is_none() {
            let end = self.at + len;
            self.open.push(Open { place, end });
            self.next_field();
        } else if len > MAX_VALUE_LEN as u64 {
            return out.refuse(place, BodyError::ValueTooLong);
        } else {
            self.state = State::Text(place, Vec::new(), len);
        }
        Ok(())
    }

    /// Leaves the messages that end here.
    fn next_field(&mut self) {
        while self.end() == self.at {
            self.open.pop();
        }
        self.state = State::Tag(Varint::default());
    }

    fn end(&self) -> u64 {
        self.open.last().map_or(u64::MAX, |message| message.end)
    }

    fn fail(&self, problem: &'static str) -> Result<(), BodyError> {
        Err(Layer::Proto.malformed(self.at, problem))
    }

    /// Fails within a field.
    pub(super) fn end_of_message(&self) -> Result<(), BodyError> {
        match self.state {
            State::Tag(Varint { len: 0, .. }) if self.open.len() == 1 => Ok(()),
            _ => Err(Layer::Proto.ended(self.at)),
        }
    }
}

/// Takes as many bytes as there are, at most `left`.
fn take<'a>(bytes: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    *left -= len as u64;
    taken
}

#[cfg(test)]
mod tests;
