//! What is particular to the wire format, with prost as the judge.

use std::rc::Rc;

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::body::{Mode, Search};

/// Reads a message, byte by byte.
fn scan(groups: &[&[&str]], message: &[u8]) -> Result<Vec<(usize, String)>, BodyError> {
    let groups: Vec<Vec<_>> = groups
        .iter()
        .map(|group| group.iter().map(|path| path.parse().unwrap()).collect())
        .collect();
    let groups: Vec<_> = groups.iter().map(Vec::as_slice).collect();
    let search = Rc::new(Search::new(&groups).unwrap());
    let mut out = Collector::new(search, Mode::Whole);
    let mut proto = Proto::new(out.root());
    for byte in message {
        proto.feed(&[*byte], &mut out)?;
    }
    proto.end_of_message()?;
    let values = out.found().values().to_vec();
    Ok(values
        .into_iter()
        .map(|value| (value.path, value.text))
        .collect())
}

fn problem(message: &[u8]) -> (u64, &'static str) {
    match scan(&[&["a=1.b=2"]], message) {
        Err(BodyError::Malformed { at, problem, .. }) => (at, problem),
        result => panic!("{result:?}"),
    }
}

#[test]
fn what_is_no_protobuf_is_refused_where_it_stands() {
    for (message, at, wrong) in [
        (&[0x00][..], 0, "not a field number"),
        (&[0x02], 0, "not a field number"),
        (&[0x80, 0x80, 0x80, 0x80, 0x10], 4, "not a field number"),
        (&[0x0b], 0, "groups are not supported"),
        (&[0x0c], 0, "groups are not supported"),
        (&[0x0e], 0, "unknown wire type"),
        (&[0x0f], 0, "unknown wire type"),
        (
            &[
                0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
            ],
            10,
            "a number has more than 64 bits",
        ),
        (
            &[
                0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
            ],
            10,
            "a number has more than 64 bits",
        ),
        (
            &[0x12, 0x80, 0x80, 0x80, 0x80, 0x08],
            5,
            "a field is longer than 2 GiB",
        ),
        (
            &[
                0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            10,
            "a field is longer than 2 GiB",
        ),
        // Within field 1, of two bytes.
        (
            &[0x0a, 0x02, 0x12, 0x01],
            4,
            "a field is longer than its message",
        ),
        (
            &[0x0a, 0x02, 0x1a, 0x01],
            4,
            "a field is longer than its message",
        ),
        (
            &[0x0a, 0x05, 0x11, 0, 0, 0, 0],
            3,
            "a field is longer than its message",
        ),
        (
            &[0x0a, 0x02, 0x15, 0],
            3,
            "a field is longer than its message",
        ),
        (
            &[0x0a, 0x02, 0x18, 0x80, 0x00],
            4,
            "a field is cut off by the end of its message",
        ),
        (
            &[0x0a, 0x01, 0x12, 0x00],
            3,
            "a field is cut off by the end of its message",
        ),
        (
            &[0x0a, 0x01, 0x92, 0x00],
            3,
            "a field is cut off by the end of its message",
        ),
    ] {
        assert_eq!(problem(message), (at, wrong), "{message:x?}");
    }
}

#[test]
fn a_message_ends_only_between_fields() {
    let message = [
        0x10, 0x80, 0x01, 0x0a, 0x05, 0x12, 0x01, b'x', 0x18, 0x01, 0x25, 1, 2, 3, 4,
    ];
    let boundaries = [0, 3, 10, 15];
    for end in 0..=message.len() {
        let result = scan(&[&["a=1.b=2"]], &message[..end]);
        assert_eq!(result.is_ok(), boundaries.contains(&end), "{end}");
        if !boundaries.contains(&end) {
            assert_eq!(result, Err(Layer::Proto.ended(end as u64)));
        }
    }
}

#[test]
fn another_wire_type_makes_another_field() {
    // Field 1 as a number, field 2 as fixed, then both as they are wanted.
    let message = [0x08, 0x05, 0x0a, 0x08, 0x15, 1, 2, 3, 4, 0x12, 0x01, b'x'];
    assert_eq!(
        scan(&[&["a=1.b=2"]], &message),
        Ok(vec![(0, "x".to_owned())])
    );
}

#[test]
fn superfluous_zeros_in_a_number_change_nothing() {
    let message = [
        0x8a, 0x80, 0x00, 0x84, 0x00, 0x92, 0x00, 0x81, 0x80, 0x00, b'x',
    ];
    let message = [&message[..3], &[0x86, 0x00], &message[5..]].concat();
    assert_eq!(
        scan(&[&["a=1.b=2"]], &message),
        Ok(vec![(0, "x".to_owned())])
    );
}

#[test]
fn the_largest_field_number_is_found() {
    let message = [0xfa, 0xff, 0xff, 0xff, 0x0f, 0x01, b'x'];
    assert_eq!(
        scan(&[&["a=536870911"]], &message),
        Ok(vec![(0, "x".to_owned())])
    );
}

#[test]
fn one_value_serves_every_path_that_asks_for_it() {
    let found = scan(&[&["a=1"], &["a=1", "b=2"]], &[0x0a, 0x01, b'x']);
    assert_eq!(found, Ok(vec![(0, "x".to_owned()), (1, "x".to_owned())]));
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    client_id: String,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(message, optional, tag = "3")]
    pack: Option<Pack>,
    #[prost(string, repeated, tag = "4")]
    keys: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    packs: Vec<Pack>,
    #[prost(fixed64, tag = "6")]
    fixed64: u64,
    #[prost(sint32, repeated, tag = "2000")]
    packed: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Pack {
    #[prost(bytes = "vec", tag = "2")]
    bytes: Vec<u8>,
    #[prost(fixed32, tag = "3")]
    fixed32: u32,
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, boxed, tag = "7")]
    inner: Option<Box<Pack>>,
}

fn any_pack() -> impl Strategy<Value = Pack> {
    let leaf = (
        "[a-zé]{0,5}",
        proptest::collection::vec(any::<u8>(), 0..200),
        any::<u32>(),
    );
    let pack = leaf.prop_map(|(key, bytes, fixed32)| Pack {
        bytes,
        fixed32,
        key,
        inner: None,
    });
    pack.prop_recursive(3, 8, 1, |inner| {
        (inner.clone(), inner).prop_map(|(inner, outer)| Pack {
            inner: Some(Box::new(inner)),
            ..outer
        })
    })
}

/// One message with few fields; messages one after the other are one message.
fn any_part() -> impl Strategy<Value = Request> {
    let empty = || Just(Request::default());
    prop_oneof![
        "[a-zé]{0,5}".prop_map(|client_id| Request {
            client_id,
            ..Request::default()
        }),
        any::<u64>().prop_map(|number| Request {
            number,
            fixed64: number,
            ..Request::default()
        }),
        any_pack().prop_map(|pack| Request {
            pack: Some(pack),
            ..Request::default()
        }),
        proptest::collection::vec("[a-z]{0,3}", 0..3).prop_map(|keys| Request {
            keys,
            ..Request::default()
        }),
        proptest::collection::vec(any_pack(), 0..3).prop_map(|packs| Request {
            packs,
            ..Request::default()
        }),
        proptest::collection::vec(any::<i32>(), 0..9).prop_map(|packed| Request {
            packed,
            ..Request::default()
        }),
        empty(),
    ]
}

/// The keys of repeated packs: absent ones are not on the wire.
fn keys<'a>(packs: impl IntoIterator<Item = &'a Pack>) -> Vec<&'a str> {
    let keys = packs.into_iter().map(|pack| pack.key.as_str());
    keys.filter(|key| !key.is_empty()).collect()
}

proptest! {
    #[test]
    fn values_are_those_that_prost_decodes(parts in proptest::collection::vec(any_part(), 0..5)) {
        let message: Vec<u8> = parts.iter().flat_map(Message::encode_to_vec).collect();
        let decoded = Request::decode(message.as_slice()).unwrap();
        let paths: &[&[&str]] = &[&["client_id=1", "pack=3.key=1", "keys=4", "packs=5.key=1", "pack=3.inner=7.key=1"]];
        let found = scan(paths, &message).unwrap();
        let values = |path| found.iter().filter(move |value| value.0 == path).map(|value| value.1.as_str());
        // The last of a singular field is the one that counts.
        prop_assert_eq!(values(0).next_back().unwrap_or_default(), decoded.client_id);
        let pack = decoded.pack.unwrap_or_default();
        prop_assert_eq!(values(1).next_back().unwrap_or_default(), pack.key);
        prop_assert!(values(2).eq(decoded.keys.iter()));
        prop_assert!(values(3).eq(keys(&decoded.packs)));
        prop_assert_eq!(values(4).next_back().unwrap_or_default(), pack.inner.unwrap_or_default().key);
    }

    #[test]
    fn what_prost_accepts_is_read_alike_and_the_rest_is_at_worst_an_error(
        parts in proptest::collection::vec(any_part(), 1..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut message: Vec<u8> = parts.iter().flat_map(Message::encode_to_vec).collect();
        if message.is_empty() {
            return Ok(());
        }
        for (index, byte) in changes {
            *index.get_mut(&mut message) = byte;
        }
        let paths: &[&[&str]] = &[&["client_id=1"]];
        if let (Ok(found), Ok(decoded)) = (scan(paths, &message), Request::decode(message.as_slice())) {
            let last = found.last().map(|value| value.1.as_str());
            prop_assert_eq!(last.unwrap_or_default(), decoded.client_id);
        }
    }
}
