use super::{bytes, bytes_mut, ERROR_ARGUMENT, ERROR_FORMAT};
use crate::lz4;

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
    // SAFETY: the caller's promise is the one that these ask for.
    let (source, target) = unsafe { (bytes(source, source_len), bytes_mut(target, target_len)) };
    let (Some(source), Some(target)) = (source, target) else {
        return i64::from(ERROR_ARGUMENT);
    };
    match lz4::decode_block(source, target) {
        Some(length) => i64::try_from(length).unwrap_or(i64::from(ERROR_ARGUMENT)),
        None => i64::from(ERROR_FORMAT),
    }
}
