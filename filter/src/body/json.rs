//! JSON, as it comes, of messages in protobuf's JSON mapping.
//!
//! Only objects on the way to what is wanted are opened: a field has both its
//! names, an array stands for each of its elements, `null` is absent. Written
//! here because a parser of the registry either wants the whole text, or a
//! whole token, or keeps every string that it passes.

mod skip;
mod text;

use sharding::Field;

use self::skip::{Skip, Skipped};
use self::text::Text;
use super::error::{BodyError, Layer};
use super::search::{Collector, MAX_VALUE_LEN, Place};

/// Reads one message.
#[derive(Debug)]
pub(super) struct Json {
    at: u64,
    longest_name: usize,
    /// The objects and arrays that the scanner is in, innermost last: at most
    /// two for each field of a path.
    open: Vec<Open>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// Of the object, or of the array's elements.
    place: Place,
    is_array: bool,
}

#[derive(Debug)]
enum State {
    /// A value, perhaps behind blanks.
    Value(Place),
    /// A value or the end of an empty array.
    FirstElement(Place),
    /// A key or the end of an empty object.
    FirstKey,
    /// A key.
    Key,
    /// Within a key.
    Name(Text),
    /// The colon behind a key.
    Colon(Place),
    /// Within a wanted value.
    Text(Place, Text),
    /// What is left of `null`.
    Null(&'static [u8]),
    /// Within what is not wanted.
    Skip(Skip),
    /// Behind a value.
    After,
}

type Problem = &'static str;

enum Error {
    Problem(Problem),
    Body(BodyError),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl Json {
    pub(super) fn new(out: &Collector) -> Self {
        Self {
            at: 0,
            longest_name: out.longest_name(),
            open: Vec::new(),
            state: State::Value(out.root()),
        }
    }

    /// Reads on, until nothing more is needed.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Collector) -> Result<(), BodyError> {
        for byte in bytes {
            if out.is_satisfied() {
                break;
            }
            self.step(*byte, out).map_err(|error| match error {
                Error::Problem(problem) => Layer::Json.malformed(self.at, problem),
                Error::Body(error) => error,
            })?;
            self.at += 1;
        }
        Ok(())
    }

    fn step(&mut self, byte: u8, out: &mut Collector) -> Result<(), Error> {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match &mut self.state {
            State::Value(_)
            | State::FirstElement(_)
            | State::FirstKey
            | State::Key
            | State::Colon(_)
            | State::After
                if is_blank => {}
            State::FirstElement(_) if byte == b']' => self.close(),
            State::FirstKey if byte == b'}' => self.close(),
            State::Value(place) | State::FirstElement(place) => {
                let place = *place;
                self.value(place, byte, out)?;
            }
            State::FirstKey | State::Key => {
                if byte != b'"' {
                    return Err("expected a key".into());
                }
                self.state = State::Name(Text::new(self.longest_name));
            }
            State::Name(text) => {
                if text.push(byte)? {
                    let place = self.open.last().map(|object| object.place);
                    let name = text.complete();
                    let is_field = |field: &Field| name.is_some_and(|name| field.is_named(name));
                    if let Some(place) = place {
                        self.state = State::Colon(out.below(place, is_field));
                    }
                }
            }
            State::Colon(place) => {
                if byte != b':' {
                    return Err("expected a colon".into());
                }
                self.state = State::Value(*place);
            }
            State::Text(place, text) => {
                let is_over = text.push(byte)?;
                if text.is_cut() {
                    out.refuse(*place, BodyError::ValueTooLong)?;
                }
                if is_over {
                    out.take(*place, text.take())?;
                    self.state = State::After;
                }
            }
            State::Null(rest) => match rest.split_first() {
                Some((expected, rest)) if *expected == byte => {
                    self.state = match rest {
                        [] => State::After,
                        _ => State::Null(rest),
                    };
                }
                _ => return Err("expected null".into()),
            },
            State::Skip(skip) => match skip.push(byte)? {
                Skipped::More => {}
                Skipped::All => self.state = State::After,
                Skipped::AllBefore => {
                    self.state = State::After;
                    return self.step(byte, out);
                }
            },
            State::After => self.after(byte)?,
        }
        Ok(())
    }

    /// The first byte of a value.
    fn value(&mut self, place: Place, byte: u8, out: &Collector) -> Result<(), Problem> {
        let may_be_array = !place.is_root() && !self.open.last().is_some_and(|open| open.is_array);
        let is_text = out.ending(place).is_some();
        self.state = match byte {
            _ if place.is_nowhere() => {
                let mut skip = Skip::default();
                skip.push(byte)?;
                State::Skip(skip)
            }
            b'n' if !place.is_root() => State::Null(b"ull"),
            b'"' if is_text => State::Text(place, Text::new(MAX_VALUE_LEN)),
            b'{' if !is_text => {
                self.open(place, false);
                State::FirstKey
            }
            b'[' if may_be_array => {
                self.open(place, true);
                State::FirstElement(place)
            }
            _ if is_text => return Err("expected a string"),
            _ => return Err("expected an object"),
        };
        Ok(())
    }

    fn open(&mut self, place: Place, is_array: bool) {
        self.open.push(Open { place, is_array });
    }

    fn close(&mut self) {
        self.open.pop();
        self.state = State::After;
    }

    fn after(&mut self, byte: u8) -> Result<(), Problem> {
        let Some(open) = self.open.last() else {
            return Err("something follows the message");
        };
        match byte {
            b',' if open.is_array => self.state = State::Value(open.place),
            b',' => self.state = State::Key,
            b']' if open.is_array => self.close(),
            b'}' if !open.is_array => self.close(),
            _ => return Err("expected a comma or the end"),
        }
        Ok(())
    }

    /// Fails within the message.
    pub(super) fn end_of_message(&self) -> Result<(), BodyError> {
        match self.state {
            State::After if self.open.is_empty() => Ok(()),
            _ => Err(Layer::Json.ended(self.at)),
        }
    }
}

#[cfg(test)]
mod tests;
