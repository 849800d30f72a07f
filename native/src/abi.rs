//! The C interface. Negative results are errors; nothing here unwinds into the caller: the library is built to abort.

use crate::{clock, lz4, sha256};
use core::slice;
use std::ptr;

/// Raised when a function changes or goes: the caller refuses any other.
const ABI_VERSION: u32 = 1;

/// An argument is null, zero, or too large.
pub const ERROR_ARGUMENT: i32 = -1;
/// The input is not what the function decodes.
pub const ERROR_FORMAT: i32 = -2;

/// More salt than dm-verity (256) and fs-verity (32) allow is a mistake.
const MAX_SALT: usize = 256;

#[no_mangle]
pub extern "C" fn mb_abi_version() -> u32 {
    ABI_VERSION
}

/// SHA-256 of each of `blocks` blocks behind the salt: 32 bytes each into `out`, in order.
///
/// # Safety
/// `data` has `blocks * block_size` bytes, `salt` has `salt_len`, `out` has room for `blocks * 32`; `out` overlaps neither
/// and nobody writes to any of them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_hash_blocks_sha256(
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
        blocks.checked_mul(sha256::DIGEST_SIZE),
    ) else {
        return ERROR_ARGUMENT;
    };
    let limit = isize::MAX.cast_unsigned();
    let pointers = !data.is_null() && !out.is_null() && (salt_len == 0 || !salt.is_null());
    if !pointers || block_size == 0 || salt_len > MAX_SALT || size > limit || out_size > limit {
        return ERROR_ARGUMENT;
    }
    // SAFETY: not null, not larger than memory can be, and readable by the caller's promise.
    let data = unsafe { slice::from_raw_parts(data, size) };
    // SAFETY: as above; an empty salt may be null, so it is not used.
    let salt = if salt_len == 0 {
        &[]
    } else {
        unsafe { slice::from_raw_parts(salt, salt_len) }
    };
    // SAFETY: as above; ours alone by the caller's promise. The caller's memory is initialised.
    let out = unsafe { slice::from_raw_parts_mut(out, out_size) };
    sha256::hash_blocks(data, block_size, salt, out);
    0
}

/// Decodes one LZ4 block and returns how many bytes it became.
///
/// # Safety
/// `source` has `source_len` bytes and `target` has room for `target_len`; they do not overlap and nobody writes to them
/// before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_lz4_decode_block(
    source: *const u8,
    source_len: usize,
    target: *mut u8,
    target_len: usize,
) -> i64 {
    let limit = isize::MAX.cast_unsigned();
    if source_len > limit || target_len > limit || (source.is_null() && source_len > 0) {
        return i64::from(ERROR_ARGUMENT);
    }
    if target.is_null() && target_len > 0 {
        return i64::from(ERROR_ARGUMENT);
    }
    // An empty buffer may be null, which no slice may be.
    let source = if source_len == 0 {
        ptr::NonNull::dangling().as_ptr()
    } else {
        source.cast_mut()
    };
    let target = if target_len == 0 {
        ptr::NonNull::dangling().as_ptr()
    } else {
        target
    };
    // SAFETY: not null, not larger than memory can be, and readable by the caller's promise.
    let source = unsafe { slice::from_raw_parts(source, source_len) };
    // SAFETY: as above; ours alone by the caller's promise. The caller's memory is initialised.
    let target = unsafe { slice::from_raw_parts_mut(target, target_len) };
    match lz4::decode_block(source, target) {
        Some(length) => i64::try_from(length).unwrap_or(i64::from(ERROR_ARGUMENT)),
        None => i64::from(ERROR_FORMAT),
    }
}

/// The frequency of the processor's time stamp counter in kHz, measured over so many milliseconds; 0 where there is none.
#[no_mangle]
pub extern "C" fn mb_tsc_khz(milliseconds: u32) -> u64 {
    clock::tsc_khz(milliseconds)
}
