//! The packing of learned keys in one shared value: a format byte, then
//! entries, newest first; each the hash of a document id, the length of its
//! key and the key.
//!
//! Shared values outlive modules, so whatever another version wrote is read as
//! nothing, and never trusted to be well-formed.

use sharding::MAX_KEY_LEN;

/// First byte of the format.
const FORMAT: u8 = 1;

/// Most entries of a bucket.
pub const MAX_ENTRIES: usize = 32;

/// Most bytes of a bucket.
pub const MAX_BYTES: usize = 8 * 1024;

/// The key of a hash, if it is in the bucket.
#[must_use]
pub fn find(bucket: &[u8], hash: u64) -> Option<&str> {
    let mut entries = entries(bucket);
    let (_, key) = entries.find(|(other, _)| *other == hash)?;
    Some(key)
}

/// The bucket with that entry as its newest, the oldest dropped for it where
/// there is no more room; `None` when it has the entry already, or nobody could
/// have such a key.
#[must_use]
pub fn with(bucket: &[u8], hash: u64, key: &str) -> Option<Vec<u8>> {
    if key.len() > MAX_KEY_LEN || find(bucket, hash) == Some(key) {
        return None;
    }
    let mut packed = vec![FORMAT];
    let others = entries(bucket).filter(|(other, _)| *other != hash);
    let all = std::iter::once((hash, key)).chain(others);
    for (hash, key) in all.take(MAX_ENTRIES) {
        if packed.len() + ENTRY_HEAD + key.len() > MAX_BYTES {
            break;
        }
        let length = u16::try_from(key.len()).ok()?;
        packed.extend(hash.to_le_bytes());
        packed.extend(length.to_le_bytes());
        packed.extend(key.as_bytes());
    }
    Some(packed)
}

/// Bytes of an entry before its key.
const ENTRY_HEAD: usize = 10;

/// The entries, up to the first that is broken.
fn entries(bucket: &[u8]) -> impl Iterator<Item = (u64, &str)> {
    let mut rest = bucket.strip_prefix(&[FORMAT]).unwrap_or_default();
    std::iter::from_fn(move || {
        let (hash, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (key, after) = after.split_at_checked(length)?;
        rest = after;
        Some((u64::from_le_bytes(*hash), std::str::from_utf8(key).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_put_in_is_found() {
        let one = with(&[], 1, "p/a").unwrap();
        let two = with(&one, 2, "p/b").unwrap();
        assert_eq!((find(&two, 1), find(&two, 2)), (Some("p/a"), Some("p/b")));
        assert_eq!(find(&two, 3), None);
        assert_eq!(with(&two, 1, "p/a"), None);
    }

    #[test]
    fn a_new_key_replaces_the_old_one() {
        let one = with(&[], 1, "p/a").unwrap();
        let other = with(&one, 1, "p/b").unwrap();
        assert_eq!(find(&other, 1), Some("p/b"));
        assert_eq!(other.len(), one.len());
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut bucket = Vec::new();
        for hash in 0..=MAX_ENTRIES as u64 {
            bucket = with(&bucket, hash, "p/a").unwrap();
        }
        assert_eq!(find(&bucket, 0), None);
        assert_eq!(find(&bucket, 1), Some("p/a"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_bucket_outgrows_its_bounds(
            mut bucket in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                proptest::collection::vec(0_u8..4, 0..200).prop_map(|rest| [&[FORMAT], rest.as_slice()].concat()),
            ],
            keys in proptest::collection::vec((0_u64..50, (0..2000_usize).prop_map(|length| "k".repeat(length))), 1..60),
        ) {
            for (hash, key) in keys {
                if let Some(packed) = with(&bucket, hash, &key) {
                    prop_assert!(packed.len() <= MAX_BYTES);
                    prop_assert!(entries(&packed).count() <= MAX_ENTRIES);
                    bucket = packed;
                }
                prop_assert_eq!(find(&bucket, hash), Some(key.as_str()));
            }
        }
    }
}
