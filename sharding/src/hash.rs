//! The two hash functions that Envoy offers for consistent hashing.

/// XXH64, as Envoy hashes a header's value (seed 0) and a host's key (seeds 0
/// and 1 for Maglev, 0 for the ring).
#[must_use]
pub fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, seed)
}

/// Seed of libstdc++'s `_Hash_bytes`, which Envoy's ring uses for
/// `MURMUR_HASH_2`.
const LIBSTDCXX_SEED: u64 = 0xc70f_6907;
const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;

/// `MurmurHash2`, 64-bit variant A, with libstdc++'s seed: the ring's
/// `MURMUR_HASH_2` (Austin Appleby's public-domain algorithm).
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u64 {
    let mut hash = LIBSTDCXX_SEED ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ scramble(u64::from_le_bytes(*word))).wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        let last = tail
            .iter()
            .rev()
            .fold(0, |word, byte| (word << 8) | u64::from(*byte));
        hash = (hash ^ last).wrapping_mul(MULTIPLIER);
    }
    hash = shift_mix(hash).wrapping_mul(MULTIPLIER);
    shift_mix(hash)
}

fn scramble(word: u64) -> u64 {
    shift_mix(word.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER)
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh64_gives_the_reference_values() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
    }

    /// Values printed by libstdc++'s `std::hash<std::string>`, which is
    /// `_Hash_bytes` with this seed; lengths 0 to 17 cover words and tails.
    #[test]
    fn murmur2_equals_libstdcxx_for_every_tail_length() {
        let expected: [u64; 18] = MURMUR_VECTORS;
        for (length, expected) in expected.into_iter().enumerate() {
            let text = &b"0123456789abcdefg"[..length];
            assert_eq!(murmur2(text), expected, "length {length}");
        }
    }

    const MURMUR_VECTORS: [u64; 18] = [
        0x553e_9390_1e46_2a6e,
        0x1fe2_f4e7_2b63_d536,
        0xeb14_66c7_481c_0ec5,
        0x1ffc_3afb_65e6_4cf7,
        0x4451_34be_9d06_e145,
        0xcc73_c68c_30db_f1cb,
        0x32e9_4642_1aa5_45dc,
        0x56bc_3c56_0473_1717,
        0xf3f0_cdb8_cc0b_5038,
        0x80ec_2df2_4737_72bb,
        0xd11d_9047_9b4b_6215,
        0xce2f_482e_5f0c_11b4,
        0xa9fa_4ae4_c34e_669c,
        0xb7a6_724f_01e7_53a4,
        0xddee_ad26_8817_cc15,
        0x83c5_9a3f_62a3_e14b,
        0x934b_0d76_0642_ed86,
        0x1e95_9b99_1607_e7f0,
    ];
}
