//! Whole bodies through all layers.

mod properties;
mod support;

use std::rc::Rc;

use self::support::*;
use super::*;

#[test]
fn a_key_is_found_in_every_protocol() {
    let proto = [field(1, b"client"), field(3, &field(1, b"doc-key"))].concat();
    let json = br#"{"clientId":"client","changePack":{"documentKey":"doc-key"}}"#.to_vec();
    for (format, message) in [(Format::Proto, proto), (Format::Json, json)] {
        for (compression, packed) in [
            (Compression::Identity, message.clone()),
            (Compression::Gzip, gzip(&message)),
        ] {
            let flags = u8::from(compression == Compression::Gzip);
            let enveloped = envelope(flags, &packed);
            for (framing, body) in [
                (Framing::Bare, packed.clone()),
                (Framing::Enveloped, enveloped.clone()),
                (Framing::EnvelopedBase64, base64(&enveloped)),
            ] {
                let shape = Shape {
                    framing,
                    format,
                    compression,
                };
                for mode in [Mode::First, Mode::Whole] {
                    let progress = read(shape, mode, &[&[KEY]], &body);
                    assert_eq!(texts(&progress), ["doc-key"], "{shape:?} {mode:?}");
                }
            }
        }
    }
}

#[test]
fn reading_stops_with_the_key() {
    let mut reader = reader(BARE_PROTO, Mode::First, &[&[KEY]], 64);
    // Said to be much longer than what comes.
    let start = [&[0x1a, 100, 0x0a, 7], b"doc-ke".as_slice()].concat();
    assert_eq!(reader.feed(&start, false), Progress::More);
    assert_eq!(texts(&reader.feed(b"y", false)), ["doc-key"]);
    assert_eq!(texts(&reader.feed(&[0xff; 99], true)), ["doc-key"], "final");

    let mut reader = self::reader(BARE_JSON, Mode::First, &[&[KEY]], 64);
    let start = br#"{"changePack":{"documentKey":"doc-key""#;
    assert_eq!(texts(&reader.feed(start, false)), ["doc-key"]);
}

#[test]
fn a_message_without_the_key_is_no_error() {
    for (shape, message) in [
        (BARE_PROTO, field(1, b"client")),
        (BARE_PROTO, Vec::new()),
        (BARE_JSON, b"{}".to_vec()),
        (BARE_JSON, br#" {"changePack":null} "#.to_vec()),
    ] {
        for mode in [Mode::First, Mode::Whole] {
            assert!(texts(&read(shape, mode, &[&[KEY]], &message)).is_empty());
            let shape = enveloped(shape);
            let body = envelope(0, &message);
            let mut reader = reader(shape, mode, &[&[KEY]], 99);
            assert!(
                texts(&reader.feed(&body, false)).is_empty(),
                "known at the message's end"
            );
        }
    }
}

#[test]
fn only_the_first_message_counts() {
    let first = envelope(0, &field(1, b"client"));
    let second = envelope(0, &field(3, &field(1, b"doc-key")));
    let body = [first, second].concat();
    for mode in [Mode::First, Mode::Whole] {
        let progress = read(enveloped(BARE_PROTO), mode, &[&[KEY]], &body);
        assert!(texts(&progress).is_empty());
    }
}

#[test]
fn a_stream_that_ends_before_any_message_has_no_value() {
    for body in [
        Vec::new(),
        envelope(0x02, b"{}"),
        envelope(0x80, b"grpc-status:0\r\n"),
    ] {
        for format in [BARE_PROTO, BARE_JSON] {
            let shape = enveloped(format);
            assert!(texts(&read(shape, Mode::First, &[&[KEY]], &body)).is_empty());
            let shape = Shape {
                framing: Framing::EnvelopedBase64,
                ..shape
            };
            assert!(texts(&read(shape, Mode::Whole, &[&[KEY]], &base64(&body))).is_empty());
        }
    }
}

#[test]
fn an_empty_json_body_is_an_error_as_it_is_for_servers() {
    let progress = read(BARE_JSON, Mode::First, &[&[KEY]], b"");
    assert_eq!(progress, Progress::Failed(Layer::Json.ended(0)));
}

#[test]
fn an_empty_body_is_never_compressed() {
    for compression in [Compression::Gzip, Compression::Unknown] {
        let shape = Shape {
            compression,
            ..BARE_PROTO
        };
        assert!(texts(&read(shape, Mode::Whole, &[&[KEY]], b"")).is_empty());
        let body = envelope(1, b"");
        assert!(texts(&read(enveloped(shape), Mode::Whole, &[&[KEY]], &body)).is_empty());
    }
}

#[test]
fn what_is_compressed_otherwise_is_refused_and_only_that() {
    let unknown = Shape {
        compression: Compression::Unknown,
        ..BARE_PROTO
    };
    let refused = Progress::Failed(BodyError::UnknownEncoding);
    assert_eq!(read(unknown, Mode::First, &[&[KEY]], b"x"), refused);
    let compressed = envelope(1, b"x");
    for shape in [enveloped(unknown), enveloped(BARE_PROTO)] {
        assert_eq!(read(shape, Mode::First, &[&[KEY]], &compressed), refused);
    }
    let plain = envelope(0, &field(3, &field(1, b"doc-key")));
    let progress = read(enveloped(unknown), Mode::First, &[&[KEY]], &plain);
    assert_eq!(texts(&progress), ["doc-key"]);
}

#[test]
fn encodings_are_known_by_their_names() {
    for (name, compression) in [
        ("", Compression::Identity),
        ("identity", Compression::Identity),
        (" GZIP", Compression::Gzip),
        ("gzip", Compression::Gzip),
        ("br", Compression::Unknown),
        ("gzip, gzip", Compression::Unknown),
    ] {
        assert_eq!(Compression::of(name.as_bytes()), compression, "{name}");
    }
}

#[test]
fn the_limit_counts_bytes_that_were_needed() {
    let message = [field(2, &[0; 50]), field(3, &field(1, b"doc-key"))].concat();
    let len = message.len();
    let at = |limit| {
        let mut reader = reader(BARE_PROTO, Mode::First, &[&[KEY]], limit);
        reader.feed(&message, true)
    };
    assert_eq!(texts(&at(len)), ["doc-key"]);
    let too_large = Progress::Failed(BodyError::TooLarge { limit: len - 1 });
    assert_eq!(at(len - 1), too_large);

    let longer = [message.as_slice(), &field(2, &[0; 50])].concat();
    let mut first = reader(BARE_PROTO, Mode::First, &[&[KEY]], len);
    assert_eq!(texts(&first.feed(&longer, true)), ["doc-key"]);
    let mut whole = reader(BARE_PROTO, Mode::Whole, &[&[KEY]], len);
    let too_large = Progress::Failed(BodyError::TooLarge { limit: len });
    assert_eq!(whole.feed(&longer, true), too_large);
}

#[test]
fn the_limit_counts_what_is_inflated_too() {
    let bomb = gzip(&field(2, &vec![0; 1 << 20]));
    assert!(bomb.len() < 2000);
    let shape = Shape {
        compression: Compression::Gzip,
        ..BARE_PROTO
    };
    let read = |body: &[u8]| reader(shape, Mode::First, &[&[KEY]], 2000).feed(body, true);
    let too_large = Progress::Failed(BodyError::TooLarge { limit: 2000 });
    assert_eq!(read(&bomb), too_large);
    // What comes along with the key does not matter any more.
    let behind = [field(3, &field(1, b"doc-key")), field(2, &[0; 9000])].concat();
    assert_eq!(texts(&read(&gzip(&behind))), ["doc-key"]);
}

#[test]
fn a_body_that_ends_early_says_in_what() {
    let text = Framing::EnvelopedBase64;
    let gzipped = gzip(b"");
    for (shape, body, error) in [
        (BARE_PROTO, b"\x0a\x05abc".as_slice(), Layer::Proto.ended(5)),
        (BARE_JSON, b"{\"a\":1", Layer::Json.ended(6)),
        (enveloped(BARE_PROTO), b"\0\0\0", Layer::Envelope.ended(3)),
        (
            enveloped(BARE_PROTO),
            b"\0\0\0\0\x03\x0a",
            Layer::Envelope.ended(6),
        ),
        (
            enveloped(BARE_PROTO),
            b"\0\0\0\0\x02\x0a\x05",
            Layer::Proto.ended(2),
        ),
        (
            Shape {
                framing: text,
                ..BARE_PROTO
            },
            b"AA",
            Layer::Base64.ended(2),
        ),
        (
            Shape {
                compression: Compression::Gzip,
                ..BARE_PROTO
            },
            &gzipped[..gzipped.len() - 1],
            Layer::Gzip.ended(gzipped.len() as u64 - 1),
        ),
    ] {
        let progress = read(shape, Mode::First, &[&[KEY]], body);
        assert_eq!(progress, Progress::Failed(error), "{shape:?}");
    }
}

#[test]
fn each_group_is_satisfied_by_one_of_its_alternatives() {
    let message = [
        field(1, b"client"),
        field(2, b"id"),
        field(3, &field(1, b"doc-key")),
        field(1, b"other"),
    ]
    .concat();
    let find = |groups: &[&[&str]]| match read(BARE_PROTO, Mode::First, groups, &message) {
        Progress::Done(found) => found,
        progress => panic!("{progress:?}"),
    };
    let found = find(&[&[KEY, "document_id=2"]]);
    assert_eq!(found.values().len(), 1, "the one that comes first");
    assert!(found.path(1).eq(["id"]));

    let found = find(&[&[KEY], &["client_id=1", "nothing=9"], &[]]);
    assert!(found.group(0).eq(["doc-key"]));
    assert!(found.group(1).eq(["client"]));
    assert_eq!(found.values().len(), 2);

    assert!(find(&[]).values().is_empty());
    let found = find(&[&["nothing=9"], &["client_id=1"]]);
    assert!(found.group(1).eq(["client"]), "what there is is given");
}

#[test]
fn an_empty_value_is_passed_over_unless_all_are_asked_for() {
    let message = [field(1, b""), field(1, b"client"), field(1, b"")].concat();
    let json = br#"{"client_id":"","clientId":"client","client_id":""}"#;
    for (shape, body) in [(BARE_PROTO, message.as_slice()), (BARE_JSON, json)] {
        let groups: &[&[&str]] = &[&["client_id=1"]];
        assert_eq!(texts(&read(shape, Mode::First, groups, body)), ["client"]);
        assert_eq!(
            texts(&read(shape, Mode::Whole, groups, body)),
            ["", "client", ""]
        );
    }
}

#[test]
fn a_second_key_cannot_hide_from_the_whole() {
    let twice = [
        field(3, &[field(1, b"doc-a"), field(1, b"doc-b")].concat()),
        field(3, &field(1, b"doc-c")),
    ]
    .concat();
    let json = br#"{"changePack":{"documentKey":"doc-a","document_key":"doc-b"},
        "change_pack":{"documen\u0074Key":"doc-c"}}"#;
    for (shape, body) in [(BARE_PROTO, twice.as_slice()), (BARE_JSON, json)] {
        assert_eq!(texts(&read(shape, Mode::First, &[&[KEY]], body)), ["doc-a"]);
        let all = texts(&read(shape, Mode::Whole, &[&[KEY]], body));
        assert_eq!(all, ["doc-a", "doc-b", "doc-c"]);
    }
    // Neither behind the first member of a gzip body.
    let (one, two) = (field(3, &field(1, b"doc-a")), field(3, &field(1, b"doc-b")));
    let body = [gzip(&one), gzip(&two)].concat();
    let shape = Shape {
        compression: Compression::Gzip,
        ..BARE_PROTO
    };
    let all = texts(&read(shape, Mode::Whole, &[&[KEY]], &body));
    assert_eq!(all, ["doc-a", "doc-b"]);
}

#[test]
fn too_many_occurrences_are_an_error_only_if_all_are_asked_for() {
    let groups: &[&[&str]] = &[&["document_keys=1"]];
    let message = field(1, b"doc").repeat(MAX_VALUES);
    assert_eq!(
        texts(&read(BARE_PROTO, Mode::Whole, groups, &message)).len(),
        MAX_VALUES
    );
    let message = field(1, b"doc").repeat(MAX_VALUES + 1);
    let error = BodyError::TooManyValues(path("document_keys=1"));
    assert_eq!(
        read(BARE_PROTO, Mode::Whole, groups, &message),
        Progress::Failed(error)
    );
    assert_eq!(
        texts(&read(BARE_PROTO, Mode::First, groups, &message)),
        ["doc"]
    );
}

#[test]
fn a_value_that_is_no_key_is_refused_by_the_name_of_its_field() {
    let groups: &[&[&str]] = &[&["client_id=1"]];
    let json = |value: &[u8]| [b"{\"clientId\":\"", value, b"\"}"].concat();
    let longest = vec![b'x'; MAX_VALUE_LEN];
    let longer = vec![b'x'; MAX_VALUE_LEN + 1];
    for (shape, wrap) in [
        (
            BARE_PROTO,
            &(|value: &[u8]| field(1, value)) as &dyn Fn(&[u8]) -> Vec<u8>,
        ),
        (BARE_JSON, &json),
    ] {
        assert_eq!(
            texts(&read(shape, Mode::First, groups, &wrap(&longest))).len(),
            1
        );
        let error = BodyError::ValueTooLong(path("client_id=1"));
        assert_eq!(
            read(shape, Mode::First, groups, &wrap(&longer)),
            Progress::Failed(error)
        );
        let error = BodyError::NotUtf8(path("client_id=1"));
        assert_eq!(
            read(shape, Mode::First, groups, &wrap(b"\xff")),
            Progress::Failed(error)
        );
    }
}

#[test]
fn searches_that_cannot_work_are_refused() {
    let paths: Vec<_> = (1..=MAX_PATHS + 1)
        .map(|number| path(&format!("a{number}={number}")))
        .collect();
    assert!(Search::new(&[&paths[..MAX_PATHS]]).is_ok());
    assert_eq!(
        Search::new(&[&paths]),
        Err(SearchError::TooManyPaths(MAX_PATHS + 1))
    );
    for (inner, outer) in [
        ("a=1.b=2", "a=1"),
        ("a=1.b=2", "c=1"),
        ("fooBar=1.b=2", "foo_bar=2"),
    ] {
        let error = SearchError::ThroughString(path(inner), path(outer));
        assert_eq!(Search::new(&[&[path(outer)], &[path(inner)]]), Err(error));
    }
}

#[test]
fn errors_say_what_and_where() {
    for (error, text) in [
        (
            Layer::Json.malformed(7, "expected a colon"),
            "malformed JSON at byte 7: expected a colon",
        ),
        (
            Layer::Envelope.ended(3),
            "the body ends within envelope, after byte 3",
        ),
        (
            BodyError::TooLarge { limit: 9 },
            "the message is too large: 9 bytes were read and more were needed",
        ),
        (
            BodyError::NotUtf8(path("a=1.b_c=2")),
            "field a=1.b_c=2 is not UTF-8",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn memory_stays_small() {
    let groups = search(&[&[KEY], &["client_id=1"]]);
    let reader = Reader::new(BARE_JSON, Rc::new(groups), Mode::Whole, DEFAULT_LIMIT);
    assert!(size_of_val(&reader) <= 512, "{}", size_of_val(&reader));
}
