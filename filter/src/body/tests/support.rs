//! Bodies to read.

use std::io::Write;
use std::rc::Rc;

use flate2::write::GzEncoder;
use proptest::prelude::*;
use sharding::FieldPath;

use crate::body::*;

/// Where the key of most calls of Yorkie is.
pub(crate) const KEY: &str = "change_pack=3.document_key=1";

pub(crate) const BARE_PROTO: Shape = Shape {
    framing: Framing::Bare,
    format: Format::Proto,
    compression: Compression::Identity,
};

pub(crate) const BARE_JSON: Shape = Shape {
    format: Format::Json,
    ..BARE_PROTO
};

pub(crate) fn enveloped(shape: Shape) -> Shape {
    Shape {
        framing: Framing::Enveloped,
        ..shape
    }
}

pub(crate) fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

pub(crate) fn search(groups: &[&[&str]]) -> Search {
    let groups: Vec<Vec<_>> = groups
        .iter()
        .map(|group| group.iter().map(|text| path(text)).collect())
        .collect();
    let groups: Vec<_> = groups.iter().map(Vec::as_slice).collect();
    Search::new(&groups).unwrap()
}

pub(crate) fn reader(shape: Shape, mode: Mode, groups: &[&[&str]], limit: usize) -> Reader {
    Reader::new(shape, Rc::new(search(groups)), mode, limit)
}

/// Reads a body at once, and checks that byte by byte gives the same.
pub(crate) fn read(shape: Shape, mode: Mode, groups: &[&[&str]], body: &[u8]) -> Progress {
    let reader = || reader(shape, mode, groups, DEFAULT_LIMIT);
    let progress = reader().feed(body, true);
    let every_byte = read_in_pieces(reader(), body, &[1]);
    assert_eq!(every_byte, progress, "byte by byte {shape:?} {mode:?}");
    progress
}

/// Feeds pieces of these lengths, over and over.
pub(crate) fn read_in_pieces(mut reader: Reader, mut body: &[u8], lengths: &[usize]) -> Progress {
    for length in lengths.iter().cycle() {
        if body.is_empty() {
            break;
        }
        let (piece, rest) = body.split_at((*length).min(body.len()));
        body = rest;
        let progress = reader.feed(piece, false);
        if progress != Progress::More {
            return progress;
        }
    }
    reader.feed(b"", true)
}

pub(crate) fn texts(progress: &Progress) -> Vec<String> {
    match progress {
        Progress::Done(found) => found
            .values()
            .iter()
            .map(|value| value.text.clone())
            .collect(),
        _ => panic!("{progress:?}"),
    }
}

/// A field with a length.
pub(crate) fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(number, &value.to_vec(), &mut bytes);
    bytes
}

pub(crate) fn envelope(flags: u8, message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flags], len.as_slice(), message].concat()
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let mut padded = [0; 3];
        padded[..bytes.len()].copy_from_slice(bytes);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        let mut text = [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize & 63]);
        text[bytes.len() + 1..].fill(b'=');
        text
    };
    bytes.chunks(3).flat_map(group).collect()
}

/// A message in both encodings, with what may be asked for.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    client_id: Option<String>,
    key: Option<String>,
    keys: Vec<String>,
    filler: Vec<u8>,
    /// In which order the fields come.
    order: Vec<usize>,
}

impl Message {
    pub(crate) fn of(&self, format: Format) -> Vec<u8> {
        let fields = match format {
            Format::Proto => self.proto(),
            Format::Json => self.json(),
        };
        let mut parts: Vec<_> = self
            .order
            .iter()
            .map(|part| fields[*part].clone())
            .collect();
        match format {
            Format::Proto => parts.concat(),
            Format::Json => {
                parts.retain(|part| !part.is_empty());
                [b"{".as_slice(), &parts.join(b", ".as_slice()), b"}\n"].concat()
            }
        }
    }

    fn proto(&self) -> [Vec<u8>; 4] {
        let text = |number, text: &String| field(number, text.as_bytes());
        [
            self.client_id.iter().flat_map(|id| text(1, id)).collect(),
            self.key
                .iter()
                .flat_map(|key| field(3, &text(1, key)))
                .collect(),
            self.keys.iter().flat_map(|key| text(4, key)).collect(),
            field(9, &self.filler),
        ]
    }

    fn json(&self) -> [Vec<u8>; 4] {
        let text = |text: &String| format!("{text:?}");
        let id = |id| format!("\"client_id\": {}", text(id));
        let key = |key| format!("\"changePack\":{{\"documentKey\":{}}}", text(key));
        let keys: Vec<_> = self.keys.iter().map(text).collect();
        [
            self.client_id.as_ref().map_or_else(String::new, id),
            self.key.as_ref().map_or_else(String::new, key),
            format!("\"documentKeys\" :[{}]", keys.join(",")),
            format!("\"filler\":{:?}", self.filler),
        ]
        .map(String::into_bytes)
    }
}

pub(crate) fn any_message() -> impl Strategy<Value = Message> {
    let text = "[a-zé€]{0,12}";
    let texts = (
        proptest::option::of(text),
        proptest::option::of(text),
        proptest::collection::vec(text, 0..4),
    );
    let filler = proptest::collection::vec(any::<u8>(), 0..60);
    let order = Just(vec![0, 1, 2, 3]).prop_shuffle();
    (texts, filler, order).prop_map(|((client_id, key, keys), filler, order)| Message {
        client_id,
        key,
        keys,
        filler,
        order,
    })
}

/// A body of this shape, with something behind it that is not to be read.
pub(crate) fn wrap(shape: Shape, message: &Message) -> Vec<u8> {
    let message = message.of(shape.format);
    let message = match shape.compression {
        Compression::Gzip => gzip(&message),
        _ => message,
    };
    let flags = u8::from(shape.compression == Compression::Gzip);
    let stream = || [envelope(flags, &message), b"\0\0\0\0\x02??".to_vec()].concat();
    match shape.framing {
        Framing::Bare => message,
        Framing::Enveloped => stream(),
        Framing::EnvelopedBase64 => base64(&stream()),
    }
}

pub(crate) fn any_shape() -> impl Strategy<Value = Shape> {
    let framing = prop_oneof![
        Just(Framing::Bare),
        Just(Framing::Enveloped),
        Just(Framing::EnvelopedBase64)
    ];
    let format = prop_oneof![Just(Format::Proto), Just(Format::Json)];
    let compression = prop_oneof![Just(Compression::Identity), Just(Compression::Gzip)];
    (framing, format, compression).prop_map(|(framing, format, compression)| Shape {
        framing,
        format,
        compression,
    })
}

pub(crate) fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::First), Just(Mode::Whole)]
}

pub(crate) fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1_usize..40, 1..9)
}
