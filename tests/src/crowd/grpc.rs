//! gRPC's messages in the data of a stream.

use std::mem::take;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

const HEAD: usize = 5;

/// Appends a message.
pub(crate) fn put(out: &mut BytesMut, message: &impl Message) {
    out.put_u8(0);
    out.put_u32(message.encoded_len() as u32);
    out.put_slice(&message.encode_to_vec());
}

/// A message, and when its first byte came.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) began: Instant,
    pub(crate) body: Bytes,
}

/// Messages from the server, in whatever pieces they arrive.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    began: Option<Instant>,
    head: Vec<u8>,
    body: Vec<u8>,
    length: usize,
}

impl Messages {
    /// Takes in what arrived `now`, and adds what is complete to `arrived`.
    pub(crate) fn feed(
        &mut self,
        mut data: &[u8],
        now: Instant,
        arrived: &mut Vec<Arrived>,
    ) -> Result<()> {
        while !data.is_empty() {
            let began = *self.began.get_or_insert(now);
            if self.head.len() < HEAD {
                let (part, rest) = data.split_at(data.len().min(HEAD - self.head.len()));
                self.head.extend_from_slice(part);
                data = rest;
                let &[compressed, a, b, c, d] = self.head.as_slice() else {
                    return Ok(());
                };
                ensure!(compressed == 0, "a compressed message is not expected");
                self.length = u32::from_be_bytes([a, b, c, d]) as usize;
                self.body.reserve_exact(self.length);
            }
            let (part, rest) = data.split_at(data.len().min(self.length - self.body.len()));
            self.body.extend_from_slice(part);
            data = rest;
            if self.body.len() == self.length {
                let body = take(&mut self.body).into();
                arrived.push(Arrived { began, body });
                self.head.clear();
                self.began = None;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_whatever_pieces_they_come() {
        let mut all = BytesMut::new();
        for text in ["first", "", "second"] {
            put(&mut all, &text.to_owned());
        }
        for size in 1..=all.len() {
            let (mut messages, mut arrived) = (Messages::default(), Vec::new());
            for piece in all.chunks(size) {
                messages.feed(piece, Instant::now(), &mut arrived).unwrap();
            }
            let texts = arrived.into_iter().map(|message| message.body);
            let texts: Vec<_> = texts.map(|body| String::decode(body).unwrap()).collect();
            assert_eq!(texts, ["first", "", "second"]);
        }
    }
}
