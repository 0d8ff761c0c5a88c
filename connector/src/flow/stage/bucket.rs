//! Iceberg's bucket transform, so that a table may become an Iceberg table without moving a row.

/// MurmurHash3, x86, 32 bits, seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0_u32, |hash, block| {
        (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    let tail = tail.iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    hash ^= mix(tail);
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// The bucket of strings and binary values.
pub(super) fn of_bytes(buckets: u32, bytes: &[u8]) -> u32 {
    (murmur3(bytes) & 0x7fff_ffff) % buckets
}

/// The bucket of integers of any width, days since 1970, and microseconds of a day or since 1970.
pub(super) fn of_integer(buckets: u32, value: i64) -> u32 {
    of_bytes(buckets, &value.to_le_bytes())
}

/// The bucket of decimals, by their unscaled value in as few bytes as hold it.
pub(super) fn of_decimal(buckets: u32, unscaled: i128) -> u32 {
    let bytes = unscaled.to_be_bytes();
    let sign = if unscaled < 0 { 0xff } else { 0 };
    // A leading byte may go while the next one still shows the sign.
    let keep = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) < 0x80).count();
    of_bytes(buckets, &bytes[keep..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix B of the Iceberg specification.
    #[test]
    fn hashes_are_the_published_ones() {
        let integer = |value: i64| murmur3(&value.to_le_bytes()) as i32;
        assert_eq!(integer(34), 2_017_239_379);
        assert_eq!(integer(17_486), -653_330_422); // date 2017-11-16
        assert_eq!(integer(81_068_000_000), -662_762_989); // time 22:31:08
        assert_eq!(integer(1_510_871_468_000_000), -2_047_944_441); // timestamp 2017-11-16T22:31:08
        assert_eq!(murmur3(b"iceberg") as i32, 1_210_000_089);
        assert_eq!(murmur3(&[0, 1, 2, 3]) as i32, -188_683_207);
        let uuid = 0xf79c_3e09_677c_4bbd_a479_3f34_9cb7_85e7_u128;
        assert_eq!(murmur3(&uuid.to_be_bytes()) as i32, 1_488_055_340);
    }

    #[test]
    fn buckets_are_positive_and_decimals_minimal() {
        assert_eq!(of_integer(16, 34), 2_017_239_379 % 16);
        assert_eq!(of_integer(100, 17_486), (-653_330_422_i32 & i32::MAX) as u32 % 100);
        assert_eq!(of_decimal(u32::MAX, 1420), (-500_754_589_i32 & i32::MAX) as u32); // decimal 14.20
        for (value, bytes) in
            [(0_i128, &[0][..]), (-1, &[0xff]), (127, &[127]), (128, &[0, 128]), (-129, &[0xff, 127])]
        {
            assert_eq!(of_decimal(u32::MAX, value), of_bytes(u32::MAX, bytes), "{value}");
        }
    }
}
