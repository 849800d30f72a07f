//! The C interface, a file for each module behind it. Negative results are errors; nothing here unwinds into the caller: the
//! library is built to abort.

mod apk;
mod assemble;
mod clock;
mod clusters;
mod erofs;
mod fec;
mod file;
mod fs_verity;
mod hash_files;
mod lz4;
mod scan;
mod sha256;

pub use apk::mb_apk_section;
pub use assemble::{
    mb_assembly_add, mb_assembly_cancel, mb_assembly_finish, mb_assembly_progress,
    mb_assembly_start,
};
pub use clock::mb_tsc_khz;
pub use clusters::mb_compress_batch;
pub use erofs::{
    mb_erofs_add, mb_erofs_cancel, mb_erofs_close, mb_erofs_file, mb_erofs_plan, mb_erofs_progress,
    mb_erofs_start, mb_erofs_write,
};
pub use fec::{mb_fec_encode, mb_fec_encode_files, mb_fec_engine};
pub use fs_verity::{mb_fs_verity_enable, mb_fs_verity_measure};
pub use hash_files::{mb_hash_files, mb_stat_files};
pub use lz4::mb_lz4_decode_block;
pub use scan::{mb_scan, mb_scan_take};
pub use sha256::{
    mb_bench_sha256, mb_hash_blocks_sha256, mb_hash_file_sha256, mb_sha256_engine, mb_sha256_ranges,
};

use core::slice;
use std::ptr::NonNull;

/// Raised when a function changes or goes: the caller refuses any other.
const ABI_VERSION: u32 = 5;

/// An argument is null, zero, or too large.
pub const ERROR_ARGUMENT: i32 = -1;
/// The input is not what the function decodes.
pub const ERROR_FORMAT: i32 = -2;
/// A file ends before what is to be read of it does.
pub const ERROR_TRUNCATED: i32 = -3;
/// The system's `errno` is this less the result.
pub const ERROR_SYSTEM: i32 = -1000;

#[no_mangle]
pub extern "C" fn mb_abi_version() -> u32 {
    ABI_VERSION
}

/// The bytes at a pointer; `None` if it is null (unless there are none) or there are more than memory can hold.
///
/// # Safety
/// `length` bytes are readable there, and nobody writes to them while the slice lives.
unsafe fn bytes<'a>(pointer: *const u8, length: usize) -> Option<&'a [u8]> {
    if length == 0 {
        return Some(&[]);
    }
    if pointer.is_null() || length > isize::MAX.cast_unsigned() {
        return None;
    }
    // SAFETY: not null, not larger than memory can be, and readable by the caller's promise.
    Some(unsafe { slice::from_raw_parts(pointer, length) })
}

/// The same for memory that is written to.
///
/// # Safety
/// `length` bytes are there and initialised, and nobody else reads or writes them while the slice lives.
unsafe fn bytes_mut<'a>(pointer: *mut u8, length: usize) -> Option<&'a mut [u8]> {
    let pointer = if length == 0 {
        NonNull::dangling().as_ptr()
    } else {
        pointer
    };
    if pointer.is_null() || length > isize::MAX.cast_unsigned() {
        return None;
    }
    // SAFETY: not null, not larger than memory can be, and ours alone by the caller's promise.
    Some(unsafe { slice::from_raw_parts_mut(pointer, length) })
}
