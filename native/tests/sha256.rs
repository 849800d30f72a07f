//! Hashing blocks and files: every engine against the plain implementation, and the C interface.

use microbuild_native::abi::{
    mb_bench_sha256, mb_hash_blocks_sha256, mb_hash_file_sha256, mb_sha256_engine, ERROR_ARGUMENT,
    ERROR_SYSTEM, ERROR_TRUNCATED,
};
use microbuild_native::sha256::{hash_blocks, hash_blocks_plainly, Engine};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
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

/// Those that this processor has: at least the portable one.
fn engines() -> Vec<Engine> {
    (1..=5).filter_map(Engine::new).collect()
}

#[test]
fn digests_equal_those_of_the_plain_implementation_for_every_shape_of_message() {
    let salts: Vec<usize> = (0..=256)
        .filter(|size| size % 13 == 0 || size % 64 < 2 || size % 64 > 54)
        .collect();
    for engine in engines() {
        for block_size in [1, 31, 55, 56, 63, 64, 65, 119, 120, 512, 1000, 4096] {
            for salt_size in &salts {
                let blocks = 1 + (salt_size + block_size) % 19;
                let mut data = bytes(blocks * block_size, 7 + *salt_size as u64);
                if let Some(zeros) = data.chunks_mut(block_size).nth(salt_size % 7) {
                    zeros.fill(0);
                }
                let salt = bytes(*salt_size, 99);
                let (mut ours, mut plain) = (vec![0; blocks * 32], vec![0; blocks * 32]);
                hash_blocks(engine, &data, block_size, &salt, &mut ours);
                hash_blocks_plainly(&data, block_size, &salt, &mut plain);
                assert_eq!(
                    ours,
                    plain,
                    "engine {}: {blocks} blocks of {block_size}, salt of {salt_size}",
                    engine.number()
                );
            }
        }
    }
}

#[test]
fn a_block_with_one_bit_set_is_no_block_of_zeros() {
    for at in [0, 1, 63, 64, 127, 128, 4094, 4095] {
        let mut data = vec![0; 2 * 4096];
        data[4096 + at] = 1;
        let (mut ours, mut plain) = ([0; 64], [0; 64]);
        for engine in engines() {
            hash_blocks(engine, &data, 4096, &[], &mut ours);
            hash_blocks_plainly(&data, 4096, &[], &mut plain);
            assert_eq!(ours, plain, "bit in byte {at}");
        }
    }
}

#[test]
fn hashing_knows_the_standards_example() {
    for engine in engines() {
        let mut digest = [0; 32];
        // SAFETY: the pointers are valid for the sizes given.
        let result = unsafe {
            mb_hash_blocks_sha256(
                engine.number(),
                b"abc".as_ptr(),
                1,
                3,
                ptr::null(),
                0,
                digest.as_mut_ptr(),
            )
        };
        assert_eq!(result, 0);
        assert_eq!(
            digest[..8],
            [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]
        );
    }
}

#[test]
fn hashing_refuses_arguments_that_cannot_be() {
    let mut out = [0; 32];
    let data = [0u8; 64];
    for (engine, blocks, block_size, salt_len) in [
        (0, 1, 0, 0),
        (0, 1, 64, 257),
        (0, 1, 64, 1),
        (0, usize::MAX, 2, 0),
        (0, 2, usize::MAX / 2, 0),
        (99, 1, 64, 0),
    ] {
        // SAFETY: refused before any pointer is used.
        let result = unsafe {
            mb_hash_blocks_sha256(
                engine,
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
    let result =
        unsafe { mb_hash_blocks_sha256(0, ptr::null(), 0, 4096, ptr::null(), 0, ptr::null_mut()) };
    assert_eq!(result, 0);
    assert_eq!(out, [0; 32]);
}

#[test]
fn only_engines_of_this_processor_are_to_be_had() {
    assert_eq!(mb_sha256_engine(1), 1);
    assert!((1..=5).contains(&mb_sha256_engine(0)));
    assert_eq!(mb_sha256_engine(6), 0);
    assert_eq!(
        mb_sha256_engine(if cfg!(target_arch = "x86_64") { 4 } else { 3 }),
        0
    );
    assert_eq!(mb_bench_sha256(6, 1, 1), 0.0);
}

/// A file without a name.
fn file(content: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("microbuild-{:?}", std::thread::current().id()));
    let path = path.with_extension(std::process::id().to_string());
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(content).unwrap();
    file
}

fn hash_file(file: &File, offset: u64, length: u64, block_size: usize, out: &mut [u8]) -> i32 {
    // SAFETY: the pointers are valid for the sizes given, and the file is open.
    unsafe {
        mb_hash_file_sha256(
            0,
            3,
            file.as_raw_fd(),
            offset,
            length,
            block_size,
            b"salt".as_ptr(),
            4,
            out.as_mut_ptr(),
            out.len(),
        )
    }
}

#[test]
fn a_file_is_hashed_by_threads_to_the_digests_of_its_blocks() {
    let mut content = bytes(5_000_001, 5);
    content[1_000_000..3_000_000].fill(0);
    let file = file(&content);
    let mut padded = content[77..].to_vec();
    padded.resize(padded.len().next_multiple_of(4096), 0);
    let blocks = padded.len() / 4096;
    let (mut ours, mut plain) = (vec![0; blocks * 32], vec![0; blocks * 32]);
    hash_blocks_plainly(&padded, 4096, b"salt", &mut plain);
    assert_eq!(
        hash_file(&file, 77, content.len() as u64 - 77, 4096, &mut ours),
        0
    );
    assert_eq!(ours, plain);
}

#[test]
fn a_file_that_cannot_be_hashed_is_refused_by_name_of_the_failure() {
    let short = file(&[1; 100]);
    let mut out = [0; 32];
    for (offset, length, block_size) in [
        (0, 4096, 0),
        (0, 4096, (1 << 16) + 1),
        (0, 4097, 4096),
        (0, 0, 4096),
        (u64::MAX, 1, 4096),
        (i64::MAX as u64, 1, 4096),
    ] {
        let result = hash_file(&short, offset, length, block_size, &mut out);
        assert_eq!(result, ERROR_ARGUMENT, "{length} bytes at {offset}");
    }
    assert_eq!(hash_file(&short, 0, 101, 4096, &mut out), ERROR_TRUNCATED);
    let folder = File::open(std::env::temp_dir()).unwrap();
    let is_a_directory = 21;
    assert_eq!(
        hash_file(&folder, 0, 1, 4096, &mut out),
        ERROR_SYSTEM - is_a_directory
    );
    // SAFETY: refused before anything is used.
    let result = unsafe {
        mb_hash_file_sha256(
            0,
            1,
            -1,
            0,
            1,
            4096,
            ptr::null(),
            0,
            out.as_mut_ptr(),
            out.len(),
        )
    };
    assert_eq!(result, ERROR_ARGUMENT);
    assert_eq!(out, [0; 32]);
}
