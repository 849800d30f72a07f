//! The C interface against plain implementations.

use microbuild_native::abi::{
    mb_abi_version, mb_hash_blocks_sha256, mb_lz4_decode_block, mb_tsc_khz, ERROR_ARGUMENT,
    ERROR_FORMAT,
};
use microbuild_native::sha256::{hash_blocks, hash_blocks_portably};
use std::ptr;

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

#[test]
fn digests_equal_those_of_the_plain_implementation_for_every_shape_of_message() {
    let salts: Vec<usize> = (0..=256)
        .step_by(1)
        .filter(|size| size % 13 == 0 || size % 64 < 2 || size % 64 > 54)
        .collect();
    for block_size in [1, 31, 55, 56, 63, 64, 65, 119, 120, 512, 1000, 4096] {
        for salt_size in &salts {
            let blocks = 1 + (salt_size + block_size) % 7;
            let data = bytes(blocks * block_size, 7 + *salt_size as u64);
            let salt = bytes(*salt_size, 99);
            let (mut ours, mut plain) = (vec![0; blocks * 32], vec![0; blocks * 32]);
            hash_blocks(&data, block_size, &salt, &mut ours);
            hash_blocks_portably(&data, block_size, &salt, &mut plain);
            assert_eq!(
                ours, plain,
                "{blocks} blocks of {block_size}, salt of {salt_size}"
            );
        }
    }
}

#[test]
fn hashing_knows_the_standards_example() {
    let mut digest = [0; 32];
    // SAFETY: the pointers are valid for the sizes given.
    let result = unsafe {
        mb_hash_blocks_sha256(b"abc".as_ptr(), 1, 3, ptr::null(), 0, digest.as_mut_ptr())
    };
    assert_eq!(result, 0);
    assert_eq!(
        digest[..8],
        [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]
    );
}

#[test]
fn hashing_refuses_arguments_that_cannot_be() {
    let mut out = [0; 32];
    let data = [0u8; 64];
    for (blocks, block_size, salt_len) in [
        (1, 0, 0),
        (1, 64, 257),
        (1, 64, 1),
        (usize::MAX, 2, 0),
        (2, usize::MAX / 2, 0),
    ] {
        // SAFETY: refused before any pointer is used.
        let result = unsafe {
            mb_hash_blocks_sha256(
                data.as_ptr(),
                blocks,
                block_size,
                ptr::null(),
                salt_len,
                out.as_mut_ptr(),
            )
        };
        assert_eq!(result, ERROR_ARGUMENT);
    }
    // SAFETY: no blocks, so nothing is read or written.
    assert_eq!(
        unsafe { mb_hash_blocks_sha256(ptr::null(), 0, 4096, ptr::null(), 0, ptr::null_mut()) },
        0
    );
    assert_eq!(out, [0; 32]);
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
    assert_eq!(mb_abi_version(), 2);
    let khz = mb_tsc_khz(20);
    if cfg!(target_arch = "x86_64") {
        assert!((500_000..10_000_000).contains(&khz), "{khz}");
        let again = mb_tsc_khz(20);
        assert!(khz.abs_diff(again) < khz / 100, "{khz} {again}");
    } else {
        assert_eq!(khz, 0);
    }
}
