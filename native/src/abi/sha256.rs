use super::file::{code_of, BorrowedFile};
use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::file::Range;
use crate::file_hash::{digest_ranges, hash_file, Parameters};
use crate::sha256::{self, Engine, DIGEST_SIZE};
use core::slice;

/// More salt than dm-verity (256) and fs-verity (32) allow is a mistake.
const MAX_SALT: usize = 256;
/// Of what is read from files; a piece of a file is a whole number of them.
const MAX_FILE_BLOCK: usize = 1 << 16;

/// The number of an engine that this processor has: of the best for 0; 0 if it has not the one asked for.
#[no_mangle]
pub extern "C" fn mb_sha256_engine(engine: u32) -> u32 {
    Engine::new(engine).map_or(0, Engine::number)
}

/// SHA-256 of each of `blocks` blocks behind the salt: 32 bytes each into `out`, in order. Engine 0 is the best.
///
/// # Safety
/// `data` has `blocks * block_size` bytes, `salt` has `salt_len`, `out` has room for `blocks * 32`; `out` overlaps neither
/// and nobody writes to any of them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_hash_blocks_sha256(
    engine: u32,
    data: *const u8,
    blocks: usize,
    block_size: usize,
    salt: *const u8,
    salt_len: usize,
    out: *mut u8,
) -> i32 {
    if blocks == 0 {
        return 0;
    }
    let (Some(size), Some(out_size)) = (
        blocks.checked_mul(block_size),
        blocks.checked_mul(DIGEST_SIZE),
    ) else {
        return ERROR_ARGUMENT;
    };
    if block_size == 0 || salt_len > MAX_SALT {
        return ERROR_ARGUMENT;
    }
    // SAFETY: the caller's promise is the one that these ask for.
    let buffers = unsafe {
        (
            bytes(data, size),
            bytes(salt, salt_len),
            bytes_mut(out, out_size),
        )
    };
    let (Some(data), Some(salt), Some(out)) = buffers else {
        return ERROR_ARGUMENT;
    };
    let Some(engine) = Engine::new(engine) else {
        return ERROR_ARGUMENT;
    };
    sha256::hash_blocks(engine, data, block_size, salt, out);
    0
}

/// More ranges of one file at once than anybody needs.
const MAX_RANGES: usize = 1 << 10;

/// SHA-256 of ranges of an open file, each as one message: 32 bytes each into `out`. A range is two numbers, its offset and its
/// length. They may have bytes in common, which are read once.
///
/// # Safety
/// `ranges` has `2 * count` numbers and `out` room for `32 * count` bytes; they do not overlap and nobody uses them before the
/// return, nor closes the file.
#[no_mangle]
pub unsafe extern "C" fn mb_sha256_ranges(
    fd: i32,
    ranges: *const u64,
    count: usize,
    out: *mut u8,
) -> i32 {
    if count > MAX_RANGES || ranges.is_null() || !ranges.is_aligned() {
        return ERROR_ARGUMENT;
    }
    // SAFETY: not null, aligned, not too many, and readable by the caller's promise.
    let ranges = unsafe { slice::from_raw_parts(ranges.cast::<[u64; 2]>(), count) };
    let ranges: Option<Vec<_>> = ranges
        .iter()
        .map(|&[offset, length]| Range::new(offset, length))
        .collect();
    // SAFETY: the caller's promise is the one that these ask for.
    let (out, file) = unsafe { (bytes_mut(out, count * DIGEST_SIZE), BorrowedFile::new(fd)) };
    let (Some(out), Some(file), Some(ranges), Some(engine)) =
        (out, file, ranges, Engine::new(Engine::BEST))
    else {
        return ERROR_ARGUMENT;
    };
    code_of(digest_ranges(&file, &ranges, engine, out.as_chunks_mut().0))
}

/// SHA-256 of each block of a range of an open file, whose last block is padded with zeros: 32 bytes for each block, on so many
/// threads of its own (besides the calling one). The file's position is used and put back.
///
/// # Safety
/// `salt` has `salt_len` bytes, `out` has `out_len`; they do not overlap and nobody writes to them before the return, nor
/// closes the file.
#[no_mangle]
pub unsafe extern "C" fn mb_hash_file_sha256(
    engine: u32,
    threads: u32,
    fd: i32,
    offset: u64,
    length: u64,
    block_size: usize,
    salt: *const u8,
    salt_len: usize,
    out: *mut u8,
    out_len: usize,
) -> i32 {
    if block_size == 0 || block_size > MAX_FILE_BLOCK || salt_len > MAX_SALT {
        return ERROR_ARGUMENT;
    }
    // SAFETY: the caller's promise is the one that these ask for.
    let (salt, out, file) = unsafe {
        (
            bytes(salt, salt_len),
            bytes_mut(out, out_len),
            BorrowedFile::new(fd),
        )
    };
    let (Some(salt), Some(out), Some(file)) = (salt, out, file) else {
        return ERROR_ARGUMENT;
    };
    let (Some(engine), Some(range)) = (Engine::new(engine), Range::new(offset, length)) else {
        return ERROR_ARGUMENT;
    };
    let digests = length.div_ceil(block_size as u64);
    if digests.checked_mul(DIGEST_SIZE as u64) != Some(out_len as u64) {
        return ERROR_ARGUMENT;
    }
    let parameters = Parameters {
        engine,
        block_size,
        salt,
        threads: threads as usize,
    };
    code_of(hash_file(&file, range, &parameters, out))
}

/// Bytes per second that the engine hashes as blocks of 4096 in memory, beyond what a cache holds, on so many threads for
/// so many milliseconds (1 to 60000): the limit of everything that hashes. 0 if there is no such engine.
#[no_mangle]
pub extern "C" fn mb_bench_sha256(engine: u32, threads: u32, milliseconds: u32) -> f64 {
    Engine::new(engine).map_or(0.0, |engine| {
        crate::bench::sha256(engine, threads as usize, milliseconds)
    })
}
