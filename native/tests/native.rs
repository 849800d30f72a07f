//! The C interface against plain implementations.

use microbuild_native::abi::{mb_abi_version, mb_lz4_decode_block, mb_tsc_khz, ERROR_FORMAT};

/// Bytes that look random, the same in every run.
fn bytes(length: usize, mut seed: u64) -> Vec<u8> {
    (0..length)
        .map(|_| {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        })
        .collect()
}

fn decode(source: &[u8], room: usize) -> Result<Vec<u8>, i64> {
    let mut target = vec![0; room];
    // SAFETY: the pointers are valid for the sizes given.
    let length =
        unsafe { mb_lz4_decode_block(source.as_ptr(), source.len(), target.as_mut_ptr(), room) };
    let length = usize::try_from(length).map_err(|_| length)?;
    target.truncate(length);
    Ok(target)
}

#[test]
fn lz4_blocks_decode_with_literals_matches_and_long_lengths() {
    assert_eq!(decode(b"\x30abc", 3), Ok(b"abc".to_vec()));
    // 3 literals, a match 3 back of 4+15+6 = 25 bytes, 1 literal
    assert_eq!(
        decode(b"\x3fabc\x03\x00\x06\x10z", 29),
        Ok(b"abcabcabcabcabcabcabcabcabcaz".to_vec())
    );
    let mut long = vec![0xf0, 255, 255, 3];
    long.extend_from_slice(&[9; 528]);
    assert_eq!(decode(&long, 528), Ok(vec![9; 528]));
    assert_eq!(decode(b"\x00", 0), Ok(vec![]));
}

#[test]
fn lz4_blocks_that_leave_their_bounds_are_refused() {
    let refused = Err(i64::from(ERROR_FORMAT));
    for (source, room) in [
        (&b""[..], 9),
        (b"\x30ab", 9),
        (b"\x30abc", 2),
        (b"\xf0", 9),
        (b"\xf0\xff", 9),
        (b"\x10a\x00\x00\x10b", 9),  // distance 0
        (b"\x10a\x02\x00\x10b", 9),  // before the start
        (b"\x10a\x01\x00\x10b", 5),  // one byte too many
        (b"\x10a\x01\x00", 9),       // ends behind a match
        (b"\x10a\x01", 9),           // half an offset
        (b"\x1fa\x01\x00\xff", 999), // a length that does not end
    ] {
        assert_eq!(decode(source, room), refused, "{source:x?}");
    }
    for seed in 1..20_000 {
        let source = bytes(1 + seed as usize % 40, seed);
        if let Ok(decoded) = decode(&source, 100) {
            assert!(decoded.len() <= 100);
        }
    }
}

#[test]
fn the_clock_is_that_of_a_processor_and_the_version_is_set() {
    assert_eq!(mb_abi_version(), 5);
    let khz = mb_tsc_khz(20);
    if cfg!(target_arch = "x86_64") {
        assert!((500_000..10_000_000).contains(&khz), "{khz}");
        let again = mb_tsc_khz(20);
        assert!(khz.abs_diff(again) < khz / 100, "{khz} {again}");
    } else {
        assert_eq!(khz, 0);
    }
}
