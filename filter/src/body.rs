//! Finds a few string fields in the *start* of a body, while it arrives.
//!
//! [`Reader`] takes the body in whatever pieces the host has, peels framing,
//! compression and encoding off them and looks for the fields of a [`Search`].
//! It reads no further than it must, keeps nothing but the values that were
//! asked for, and gives the same verdict wherever the pieces are cut. Nothing
//! is assumed about the order of fields; of alternatives that a message has
//! both, the one that comes first ends the search.
//!
//! Only the first message counts: a stream's key is in it, and a unary call has
//! no other. What the reader skips is checked only as far as staying in step
//! takes. The server behind decodes the whole message and refuses what is
//! broken elsewhere, so the reader must never *accept* one reading of a body
//! where a server takes another; refusing more than a server does is harmless.
//!
//! # Two values for one field
//! Protobuf takes the last occurrence of a singular field and merges messages
//! that occur twice; JSON decoders differ. Hence a body can show one key to a
//! reader that stops early and another to the server: routed to the owner of
//! the one, the other is worked on there, by a server that does not own it.
//! * [`Mode::First`] stops at the first occurrence and cannot see this. That is
//!   no weaker than a key in a header, which a client picks just as freely and
//!   which no server compares with the body. Whoever may be trusted with the
//!   one may be trusted with the other; whatever gives rights (a project) has to
//!   be compared with what the caller has proved, never taken from here alone.
//! * [`Mode::Whole`] reads all of the first message and reports every
//!   occurrence in order, empty ones too, so that its caller can refuse a
//!   message whose values differ. Its price is that the whole message has to
//!   arrive, within the limit, before the request goes on.
//!
//! # Example
//! ```
//! use std::rc::Rc;
//! use yorkies_filter::body::{
//!     Compression, DEFAULT_LIMIT, Format, Framing, Mode, Progress, Reader, Search, Shape,
//! };
//!
//! // Once for each rule: a document's key, or else a channel's.
//! let keys = ["change_pack=3.document_key=1", "channel_key=2"].map(|path| path.parse().unwrap());
//! let search = Rc::new(Search::new(&[&keys])?);
//!
//! // For each request: its shape from the headers, its body as it comes.
//! let shape = Shape {
//!     framing: Framing::Bare,
//!     format: Format::Json,
//!     compression: Compression::of(b""),
//! };
//! let mut reader = Reader::new(shape, search, Mode::First, DEFAULT_LIMIT);
//! assert_eq!(reader.feed(br#"{"changePack":{"docu"#, false), Progress::More);
//! let Progress::Done(found) = reader.feed(br#"mentKey":"doc-1","changes":["#, false) else {
//!     panic!("the key is complete, though the message is not");
//! };
//! assert!(found.group(0).eq(["doc-1"]));
//! # Ok::<(), yorkies_filter::body::SearchError>(())
//! ```

mod base64;
mod envelope;
mod error;
mod inflate;
mod json;
mod proto;
mod reader;
mod search;

pub use error::{BodyError, Layer};
pub use reader::{Progress, Reader};
pub use search::{Found, MAX_PATHS, MAX_VALUE_LEN, MAX_VALUES, Mode, Search, SearchError, Value};

/// Default for the limit of a [`Reader`]: a key stands near the start of its
/// message, behind identifiers and perhaps a few changes.
pub const DEFAULT_LIMIT: usize = 64 * 1024;

/// How to read a body, as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How messages lie in the body.
    pub framing: Framing,
    /// How a message is encoded.
    pub format: Format,
    /// How the body (bare) or each message that says so (enveloped) is
    /// compressed.
    pub compression: Compression,
}

/// How messages lie in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// The body is one message: unary Connect.
    Bare,
    /// Flags and length before each message: gRPC, gRPC-Web, streaming Connect.
    Enveloped,
    /// The same in base64: `grpc-web-text`.
    EnvelopedBase64,
}

/// How a message is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Protobuf's wire format.
    Proto,
    /// Protobuf's JSON mapping.
    Json,
}

/// How a body or a message is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// In a way that cannot be read here: an error, but only once something
    /// compressed arrives.
    Unknown,
}

impl Compression {
    /// By the value of `content-encoding` (bare), `grpc-encoding` or
    /// `connect-content-encoding`; empty when there is no such header.
    #[must_use]
    pub fn of(encoding: &[u8]) -> Self {
        let encoding = encoding.trim_ascii();
        if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
            Self::Identity
        } else if encoding.eq_ignore_ascii_case(b"gzip") {
            Self::Gzip
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests;
