use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::sha256;

/// More salt than dm-verity (256) and fs-verity (32) allow is a mistake.
const MAX_SALT: usize = 256;

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
    sha256::hash_blocks(data, block_size, salt, out);
    0
}
