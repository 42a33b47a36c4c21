//! What holds for any body.

use proptest::prelude::*;

use super::support::*;
use crate::body::*;

proptest! {
    #[test]
    fn no_bytes_panic_and_any_cut_gives_the_same(
        shape in any_shape(),
        mode in any_mode(),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            proptest::collection::vec(prop_oneof![
                Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b','), Just(b':'),
                Just(b'\\'), Just(b'u'), Just(b'a'), Just(b'n'), Just(b' '), Just(b'0'),
            ], 0..200),
            proptest::collection::vec(0_u8..32, 0..200),
        ],
        limit in 0_usize..250,
        cuts in any_cuts(),
    ) {
        let groups: &[&[&str]] = &[&["a=1", "b=2.a=1"], &["aa=3.a=4"]];
        let whole = reader(shape, mode, groups, limit).feed(&body, true);
        prop_assert_ne!(&whole, &Progress::More);
        let pieces = read_in_pieces(reader(shape, mode, groups, limit), &body, &cuts);
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn any_cut_of_a_good_body_gives_the_same(
        shape in any_shape(),
        mode in any_mode(),
        message in any_message(),
        damage in proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
        cuts in any_cuts(),
        limit in prop_oneof![Just(DEFAULT_LIMIT), 0_usize..300],
    ) {
        let mut body = wrap(shape, &message);
        if let Some((index, byte)) = damage && !body.is_empty() {
            *index.get_mut(&mut body) = byte;
        }
        let groups: &[&[&str]] = &[&[KEY, "document_keys=4"], &["client_id=1"]];
        let whole = reader(shape, mode, groups, limit).feed(&body, true);
        prop_assert_ne!(&whole, &Progress::More);
        let pieces = read_in_pieces(reader(shape, mode, groups, limit), &body, &cuts);
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn all_layers_together_find_what_the_scanner_alone_finds(
        shape in any_shape(),
        mode in any_mode(),
        message in any_message(),
    ) {
        let groups: &[&[&str]] = &[&[KEY, "document_keys=4"], &["client_id=1"]];
        let bare = Shape { framing: Framing::Bare, compression: Compression::Identity, ..shape };
        let plain = read(bare, mode, groups, &message.of(shape.format));
        prop_assert_eq!(read(shape, mode, groups, &wrap(shape, &message)), plain);
    }
}
