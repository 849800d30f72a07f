use super::{bytes, ERROR_ARGUMENT};
use crate::hash_files::{digests, signatures, SIGNATURE_WORDS};
use crate::sha256::{Engine, DIGEST_SIZE};
use std::ffi::CStr;
use std::slice;

const MAX_THREADS: u32 = 64;
/// More files than anybody has names for.
const MAX_FILES: usize = 1 << 28;

/// The paths in a buffer, each ended by a NUL; `None` unless there are so many.
fn split(paths: &[u8], count: usize) -> Option<Vec<&CStr>> {
    let found: Option<Vec<_>> = paths
        .split_inclusive(|&byte| byte == 0)
        .map(|path| CStr::from_bytes_with_nul(path).ok())
        .collect();
    found.filter(|found| found.len() == count)
}

/// Elements of memory that is written to; `None` where there cannot be so many.
///
/// # Safety
/// `count` elements are there and initialised, and nobody else reads or writes them while the slice lives. Any bytes are a
/// valid `T`.
unsafe fn elements<'a, T>(pointer: *mut T, count: usize) -> Option<&'a mut [T]> {
    if pointer.is_null() || !pointer.is_aligned() || count > MAX_FILES {
        return None;
    }
    // SAFETY: not null, aligned, not larger than memory can be, and ours alone by the caller's promise.
    Some(unsafe { slice::from_raw_parts_mut(pointer, count) })
}

/// What `stat` says of each of `count` files, in the form that `src/io/file-signatures.ts` describes: 14 words each. Their paths
/// stand in `paths`, each ended by a NUL. Symbolic links are followed if `follow` is not 0.
///
/// # Safety
/// `paths` has `paths_len` bytes and `words` room for `14 * count`; they do not overlap and nobody uses them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_stat_files(
    paths: *const u8,
    paths_len: usize,
    count: usize,
    follow: u32,
    threads: u32,
    words: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise is the one that these ask for.
    let (paths, out) = unsafe {
        (
            bytes(paths, paths_len),
            elements(words.cast::<[u32; SIGNATURE_WORDS]>(), count),
        )
    };
    let (Some(paths), Some(out), true) = (paths, out, threads <= MAX_THREADS) else {
        return ERROR_ARGUMENT;
    };
    let Some(paths) = split(paths, count) else {
        return ERROR_ARGUMENT;
    };
    signatures(&paths, follow != 0, threads as usize, out);
    0
}

/// The same of regular files as they were when they were opened, and the SHA-256 of each: 32 bytes into `out`. Symbolic links
/// are followed.
///
/// # Safety
/// As `mb_stat_files`; `out` has room for `32 * count` bytes.
#[no_mangle]
pub unsafe extern "C" fn mb_hash_files(
    paths: *const u8,
    paths_len: usize,
    count: usize,
    threads: u32,
    words: *mut u32,
    out: *mut u8,
) -> i32 {
    // SAFETY: the caller's promise is the one that these ask for.
    let (paths, found, out) = unsafe {
        (
            bytes(paths, paths_len),
            elements(words.cast::<[u32; SIGNATURE_WORDS]>(), count),
            elements(out.cast::<[u8; DIGEST_SIZE]>(), count),
        )
    };
    let (Some(paths), Some(found), Some(out)) = (paths, found, out) else {
        return ERROR_ARGUMENT;
    };
    let (Some(paths), Some(engine), true) = (
        split(paths, count),
        Engine::new(Engine::BEST),
        threads <= MAX_THREADS,
    ) else {
        return ERROR_ARGUMENT;
    };
    digests(&paths, threads as usize, found, out, engine);
    0
}
