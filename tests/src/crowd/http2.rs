//! Just enough of HTTP/2 for one stream on a connection, with one buffer for
//! all connections: the simulator runs on the machine that it measures.

use std::mem::take;

use anyhow::{Result, bail};
use bytes::{BufMut, BytesMut};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const STREAM: u32 = 1;
const HEAD: usize = 9;

/// Envoy's default (`initial_stream_window_size`).
pub(crate) const WINDOW: u32 = 256 << 20;
/// What every connection starts with.
pub(crate) const FIRST_WINDOW: u32 = 65_535;

/// Opens a connection and on it a stream to that path, with leave to send that
/// many bytes, [`FIRST_WINDOW`] at least.
pub(crate) fn open(authority: &str, path: &str, window: u32) -> BytesMut {
    const ENABLE_PUSH: u16 = 2;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let mut out = BytesMut::from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    head(&mut out, 12, SETTINGS, 0, 0);
    for (setting, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, window)] {
        out.put_u16(setting);
        out.put_u32(value);
    }
    if window > FIRST_WINDOW {
        window_update(&mut out, 0, window - FIRST_WINDOW);
    }

    // Without an index of its own (RFC 7541, 6.2.2), so that no table is needed.
    let mut fields = BytesMut::new();
    fields.put_slice(&[0x83, 0x86]); // POST, http
    for (name, value) in [
        (&[0x04][..], path),
        (&[0x01], authority),
        (&[0x0f, 0x10], "application/grpc"), // content-type
        (b"\x00\x02te", "trailers"),
    ] {
        fields.put_slice(name);
        fields.put_u8(value.len() as u8); // all of them are shorter than 127
        fields.put_slice(value.as_bytes());
    }
    head(&mut out, fields.len(), HEADERS, END_HEADERS, STREAM);
    out.unsplit(fields);
    out
}

/// Data on the stream.
pub(crate) fn data(out: &mut BytesMut, data: &[u8]) {
    // The largest frame that needs no agreement.
    for chunk in data.chunks(16 << 10) {
        head(out, chunk.len(), DATA, 0, STREAM);
        out.put_slice(chunk);
    }
}

fn window_update(out: &mut BytesMut, stream: u32, by: u32) {
    head(out, 4, WINDOW_UPDATE, 0, stream);
    out.put_u32(by);
}

fn head(out: &mut BytesMut, length: usize, kind: u8, flags: u8, stream: u32) {
    out.put_uint(length as u64, 3);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u32(stream);
}

/// Frames from the server, in whatever pieces they arrive.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Of the present frame: its head, as far as it is there.
    head: Vec<u8>,
    /// What of it is still to come.
    left: usize,
    /// What has come of it, but for data.
    payload: Vec<u8>,
    /// Bytes since the server was last given leave to send more.
    taken: u32,
}

impl Frames {
    /// Takes in what arrived: passes on the stream's data, and writes what
    /// HTTP/2 has to answer to `out`. An error if the stream has ended.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut BytesMut,
        mut on_data: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        while !bytes.is_empty() {
            if self.head.len() < HEAD {
                let part = split(&mut bytes, HEAD - self.head.len());
                self.head.extend_from_slice(part);
                if self.head.len() < HEAD {
                    return Ok(());
                }
                self.left = usize::from(self.head[0]) << 16
                    | usize::from(self.head[1]) << 8
                    | usize::from(self.head[2]);
            }
            let part = split(&mut bytes, self.left);
            self.left -= part.len();
            if self.head[3] == DATA {
                self.taken += part.len() as u32;
                on_data(part)?;
            } else {
                self.payload.extend_from_slice(part);
            }
            if self.left == 0 {
                self.complete(out)?;
                self.head.clear();
            }
        }
        if self.taken > WINDOW / 2 {
            for stream in [0, STREAM] {
                window_update(out, stream, self.taken);
            }
            self.taken = 0;
        }
        Ok(())
    }

    /// Windows are of no interest: requests are small, and few at a time.
    fn complete(&mut self, out: &mut BytesMut) -> Result<()> {
        let (kind, flags, payload) = (self.head[3], self.head[4], take(&mut self.payload));
        match kind {
            DATA if flags & PADDED != 0 => bail!("padded data is not expected"),
            DATA | HEADERS if flags & END_STREAM != 0 => bail!("the server has ended the stream"),
            RST_STREAM => bail!("the server has reset the stream: {payload:?}"),
            GOAWAY => bail!("the server says goodbye: {payload:?}"),
            SETTINGS if flags & ACK == 0 => head(out, 0, SETTINGS, ACK, 0),
            PING if flags & ACK == 0 => {
                head(out, payload.len(), PING, ACK, 0);
                out.put_slice(&payload);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Takes off up to that many bytes.
fn split<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (part, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        head(&mut out, payload.len(), kind, flags, STREAM);
        out.put_slice(payload);
        out
    }

    #[test]
    fn frames_are_understood_in_whatever_pieces_they_come() {
        let all = [
            frame(SETTINGS, 0, &[0; 6]),
            frame(HEADERS, END_HEADERS, &[0x88]),
            frame(DATA, 0, b"Hel"),
            frame(PING, 0, b"12345678"),
            frame(DATA, 0, b""),
            frame(DATA, 0, b"lo"),
        ]
        .concat();
        let answers = [frame(SETTINGS, ACK, b""), frame(PING, ACK, b"12345678")].concat();
        for size in 1..=all.len() {
            let (mut frames, mut out, mut data) = (Frames::default(), BytesMut::new(), Vec::new());
            for piece in all.chunks(size) {
                let on_data = |part: &[u8]| {
                    data.extend_from_slice(part);
                    Ok(())
                };
                frames.feed(piece, &mut out, on_data).unwrap();
            }
            assert_eq!(data, b"Hello");
            // But for the stream, which is 0 in them.
            assert_eq!(out.len(), answers.len(), "{out:?}");
        }
    }

    #[test]
    fn the_end_of_the_stream_is_an_error() {
        for end in [
            frame(HEADERS, END_STREAM | END_HEADERS, &[0x88]),
            frame(RST_STREAM, 0, &[0; 4]),
            frame(GOAWAY, 0, &[0; 8]),
        ] {
            let (mut frames, mut out) = (Frames::default(), BytesMut::new());
            assert!(frames.feed(&end, &mut out, |_| Ok(())).is_err());
        }
    }
}
