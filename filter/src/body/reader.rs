//! The way of a body through its layers.

use std::rc::Rc;

use super::base64::Base64;
use super::envelope::{Envelope, Part};
use super::error::BodyError;
use super::inflate::Inflate;
use super::json::Json;
use super::proto::Proto;
use super::search::{Collector, Found, Mode, Search};
use super::{Compression, Format, Framing, Shape};

/// Reads one body.
#[derive(Debug)]
pub struct Reader {
    framing: Layers,
    message: Message,
    limit: usize,
    /// Bytes of the body so far.
    seen: usize,
    verdict: Option<Result<Found, BodyError>>,
}

/// What is known after the bytes so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    More,
    /// What was looked for, as far as the message has it.
    Done(Found),
    /// The body cannot be read.
    Failed(BodyError),
}

/// How messages lie in the body.
#[derive(Debug)]
enum Layers {
    Bare,
    Enveloped(Envelope),
    Base64(Base64, Envelope),
}

/// The first message.
#[derive(Debug)]
struct Message {
    compression: Compression,
    inflate: Option<Inflate>,
    scanner: Scanner,
    out: Collector,
    limit: usize,
    /// Bytes of the message so far, inflated.
    read: usize,
}

#[derive(Debug)]
enum Scanner {
    Proto(Proto),
    Json(Json),
}

impl Reader {
    /// A reader of one body that looks at no more than `limit` bytes of it,
    /// and of what they inflate to.
    #[must_use]
    pub fn new(shape: Shape, search: Rc<Search>, mode: Mode, limit: usize) -> Self {
        let out = Collector::new(search, mode);
        Self {
            framing: match shape.framing {
                Framing::Bare => Layers::Bare,
                Framing::Enveloped => Layers::Enveloped(Envelope::default()),
                Framing::EnvelopedBase64 => Layers::Base64(Base64::default(), Envelope::default()),
            },
            message: Message {
                compression: shape.compression,
                inflate: None,
                scanner: match shape.format {
                    Format::Proto => Scanner::Proto(Proto::new(out.root())),
                    Format::Json => Scanner::Json(Json::new(&out)),
                },
                out,
                limit,
                read: 0,
            },
            limit,
            seen: 0,
            verdict: None,
        }
    }

    /// Takes the next bytes of the body: each byte once. A verdict is final and
    /// given again, whatever follows.
    pub fn feed(&mut self, bytes: &[u8], end_of_stream: bool) -> Progress {
        if self.verdict.is_none() {
            self.verdict = self.advance(bytes, end_of_stream).transpose();
            if self.verdict.is_some() {
                // The window is large, and whoever keeps the reader needs it no more.
                self.message.inflate = None;
            }
        }
        match &self.verdict {
            None => Progress::More,
            Some(Ok(found)) => Progress::Done(found.clone()),
            Some(Err(error)) => Progress::Failed(error.clone()),
        }
    }

    fn advance(&mut self, bytes: &[u8], is_end: bool) -> Result<Option<Found>, BodyError> {
        let allowed = bytes.len().min(self.limit - self.seen);
        let (bytes, beyond) = bytes.split_at(allowed);
        self.seen += allowed;
        let mut is_over = self.read(bytes)?;
        if !is_over && !beyond.is_empty() {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        if !is_over && is_end {
            self.end()?;
            is_over = true;
        }
        Ok(is_over.then(|| self.message.out.found()))
    }

    /// Whether nothing more is needed.
    fn read(&mut self, bytes: &[u8]) -> Result<bool, BodyError> {
        let message = &mut self.message;
        match &mut self.framing {
            Layers::Bare => {
                if message.inflate.is_none() && !bytes.is_empty() {
                    message.start(message.compression != Compression::Identity)?;
                }
                message.feed(bytes)?;
                Ok(message.out.is_satisfied())
            }
            Layers::Enveloped(envelope) => message.unwrap(envelope, bytes),
            Layers::Base64(base64, envelope) => {
                for character in bytes {
                    if let Some(group) = base64.push(*character)?
                        && message.unwrap(envelope, group.bytes())?
                    {
                        return Ok(true);
                    }
                }
                Ok(message.out.is_satisfied())
            }
        }
    }

    /// The body ends before the message was seen to.
    fn end(&self) -> Result<(), BodyError> {
        match &self.framing {
            Layers::Bare => self.message.end(),
            Layers::Enveloped(envelope) => envelope.end(),
            Layers::Base64(base64, envelope) => base64.end().and_then(|()| envelope.end()),
        }
    }
}

impl Message {
    /// Whether nothing more is needed.
    fn unwrap(&mut self, envelope: &mut Envelope, mut bytes: &[u8]) -> Result<bool, BodyError> {
        while !bytes.is_empty() && !self.out.is_satisfied() {
            match envelope.next(&mut bytes)? {
                Part::Head => {}
                Part::Start { compressed } => self.start(compressed)?,
                Part::NoMessage => return Ok(true),
                Part::Message(piece) => self.feed(piece)?,
            }
            if envelope.is_over() && !self.out.is_satisfied() {
                self.end()?;
                return Ok(true);
            }
        }
        Ok(self.out.is_satisfied())
    }

    fn start(&mut self, compressed: bool) -> Result<(), BodyError> {
        if compressed {
            if self.compression != Compression::Gzip {
                return Err(BodyError::UnknownEncoding);
            }
            self.inflate = Some(Inflate::new());
        }
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let Self {
            scanner,
            out,
            limit,
            read,
            ..
        } = self;
        let mut scan = |bytes: &[u8]| {
            let allowed = bytes.len().min(*limit - *read);
            let (bytes, beyond) = bytes.split_at(allowed);
            *read += allowed;
            match scanner {
                Scanner::Proto(proto) => proto.feed(bytes, out)?,
                Scanner::Json(json) => json.feed(bytes, out)?,
            }
            if !out.is_satisfied() && !beyond.is_empty() {
                return Err(BodyError::TooLarge { limit: *limit });
            }
            Ok(!out.is_satisfied())
        };
        match &mut self.inflate {
            Some(inflate) => inflate.feed(bytes, scan),
            None => scan(bytes).map(|_| ()),
        }
    }

    /// The message ends.
    fn end(&self) -> Result<(), BodyError> {
        if let Some(inflate) = &self.inflate {
            inflate.end()?;
        }
        match &self.scanner {
            Scanner::Proto(proto) => proto.end_of_message(),
            Scanner::Json(json) => json.end_of_message(),
        }
    }
}
