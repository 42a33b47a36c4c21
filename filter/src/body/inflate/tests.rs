//! What is particular to gzip, with flate2 as the judge.

use std::io::{Read, Write};

use flate2::{Compression, GzBuilder};
use proptest::prelude::*;

use super::*;

/// Inflates in pieces of one length.
fn inflate_all(bytes: &[u8], length: usize) -> Result<Vec<u8>, BodyError> {
    let mut inflate = Inflate::new();
    let mut plain = Vec::new();
    for piece in bytes.chunks(length) {
        inflate.feed(piece, |piece| {
            assert!(piece.len() <= PIECE);
            plain.extend_from_slice(piece);
            Ok(true)
        })?;
    }
    inflate.end().map(|()| plain)
}

fn gzip(builder: GzBuilder, plain: &[u8]) -> Vec<u8> {
    let mut encoder = builder.write(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A member with a checksum of its head, which flate2 does not write.
fn with_checksum(head: &[u8]) -> Vec<u8> {
    let plain = gzip(GzBuilder::new(), b"text");
    let mut bytes = plain[..10].to_vec();
    bytes[3] = HAS_CHECKSUM | HAS_EXTRA;
    bytes.extend(u16::try_from(head.len()).unwrap().to_le_bytes());
    bytes.extend(head);
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes);
    let checksum = checksum.sum().to_le_bytes();
    [&bytes, &checksum[..2], &plain[10..]].concat()
}

#[test]
fn optional_parts_of_the_head_are_passed_over() {
    let extra = || vec![7_u8; 300];
    for builder in [
        GzBuilder::new(),
        GzBuilder::new().extra(Vec::new()),
        GzBuilder::new().extra(extra()),
        GzBuilder::new().filename("name"),
        GzBuilder::new().filename("").comment("comment"),
        GzBuilder::new()
            .extra(extra())
            .filename("name")
            .comment("comment")
            .mtime(7),
    ] {
        let bytes = gzip(builder, b"text");
        for length in [1, 3, 1000] {
            assert_eq!(inflate_all(&bytes, length).unwrap(), b"text");
        }
    }
    for head in [b"".as_slice(), &[1], &[9; 300]] {
        let bytes = with_checksum(head);
        let mut text = String::new();
        flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "text", "the test's own member is right");
        assert_eq!(inflate_all(&bytes, 1).unwrap(), b"text");
    }
}

#[test]
fn members_follow_each_other() {
    let one = gzip(GzBuilder::new(), b"one ");
    let empty = gzip(GzBuilder::new().filename("x"), b"");
    let bytes = [one.clone(), empty, one].concat();
    for length in [1, 2, 1000] {
        assert_eq!(inflate_all(&bytes, length).unwrap(), b"one one ");
    }
}

#[test]
fn what_is_no_gzip_is_refused_where_it_stands() {
    let good = gzip(GzBuilder::new(), b"text");
    let behind = good.len() as u64;
    let with = |at: usize, byte| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (bytes, at, problem) in [
        (with(0, 0), 0, "not the magic number"),
        (with(1, 0), 1, "not the magic number"),
        (with(2, 7), 2, "unknown method"),
        (with(3, 0x20), 3, "reserved flags"),
        (
            [good.clone(), b"x".to_vec()].concat(),
            behind,
            "not the magic number",
        ),
    ] {
        assert_eq!(
            inflate_all(&bytes, 1),
            Err(Layer::Gzip.malformed(at, problem))
        );
    }
    let error = inflate_all(&with(10, 0xff), 1000).unwrap_err();
    assert!(error.to_string().ends_with("not deflated data"), "{error}");
}

#[test]
fn a_member_that_ends_early_is_an_error() {
    let good = gzip(
        GzBuilder::new().filename("n").comment("c").extra(vec![1]),
        b"text",
    );
    for end in 0..good.len() {
        let error = Layer::Gzip.ended(end as u64);
        assert_eq!(inflate_all(&good[..end], 1), Err(error), "{end}");
    }
}

#[test]
fn inflating_stops_when_told_to() {
    let bomb = gzip(GzBuilder::new(), &vec![0; 1 << 22]);
    let mut pieces = 0;
    let result = Inflate::new().feed(&bomb, |_| {
        pieces += 1;
        Ok(pieces < 3)
    });
    assert_eq!((result, pieces), (Ok(()), 3));
}

proptest! {
    #[test]
    fn what_flate2_packs_comes_out_again(
        plain in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..9000),
            "[ab]{0,9000}".prop_map(String::into_bytes),
            (any::<u8>(), 0_usize..100_000).prop_map(|(byte, len)| vec![byte; len]),
        ],
        level in 0_u32..=9,
        length in 1_usize..3000,
    ) {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::new(level));
        encoder.write_all(&plain).unwrap();
        let bytes = encoder.finish().unwrap();
        prop_assert_eq!(inflate_all(&bytes, length), Ok(plain));
    }

    #[test]
    fn damage_is_at_worst_an_error(
        plain in "[a-d]{0,300}",
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in 1_usize..300,
    ) {
        let mut bytes = gzip(GzBuilder::new(), plain.as_bytes());
        for (index, byte) in changes {
            *index.get_mut(&mut bytes) = byte;
        }
        let mut judged = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        let is_good = decoder.read_to_end(&mut judged).is_ok();
        match inflate_all(&bytes, length) {
            Ok(inflated) if is_good => prop_assert_eq!(inflated, judged),
            Err(error) => prop_assert!(!is_good, "{}", error),
            Ok(_) => {}
        }
    }
}
