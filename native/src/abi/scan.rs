use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::scan::{scan, Scan};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Results that wait to be taken, known to the caller by number.
static DONE: Mutex<(u64, BTreeMap<u64, Scan>)> = Mutex::new((1, BTreeMap::new()));

const MAX_THREADS: u32 = 64;

/// Takes a result away; whoever does not want it puts it back.
pub(super) fn take(handle: u64) -> Option<Scan> {
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    done.1.remove(&handle)
}

pub(super) fn put_back(handle: u64, scan: Scan) {
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    done.1.insert(handle, scan);
}

/// Scans the directory at `path` and all below it, with extended attributes if asked. `sizes` gets how many words the records
/// have and how many bytes the blob, both in the form that `scan::record` describes.
///
/// Returns a handle, or a negative error.
///
/// # Safety
/// `path` has `path_len` bytes and `sizes` room for two numbers.
#[no_mangle]
pub unsafe extern "C" fn mb_scan(
    path: *const u8,
    path_len: usize,
    with_xattrs: u32,
    threads: u32,
    sizes: *mut u64,
) -> i64 {
    let error = i64::from(ERROR_ARGUMENT);
    // SAFETY: the caller's promise is the one that this asks for.
    let Some(path) = (unsafe { bytes(path, path_len) }) else {
        return error;
    };
    if sizes.is_null() || threads > MAX_THREADS {
        return error;
    }
    let Some(found) = scan(path, with_xattrs != 0, threads as usize) else {
        return error;
    };
    let numbers = [found.records.len() as u64, found.blob.len() as u64];
    // SAFETY: not null, and room for two by the caller's promise.
    unsafe { sizes.cast::<[u64; 2]>().write_unaligned(numbers) };
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = done.0;
    done.0 += 1;
    done.1.insert(handle, found);
    i64::try_from(handle).unwrap_or(error)
}

/// Copies the result of a scan, which is gone then. The sizes must be those that were told.
///
/// # Safety
/// `records` has room for `record_words` words and `blob` for `blob_len` bytes; nobody else uses them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_scan_take(
    handle: u64,
    records: *mut u32,
    record_words: usize,
    blob: *mut u8,
    blob_len: usize,
) -> i32 {
    let found = take(handle);
    let Some(record_bytes) = record_words.checked_mul(size_of::<u32>()) else {
        return ERROR_ARGUMENT;
    };
    // SAFETY: the caller's promise is the one that these ask for.
    let targets = unsafe {
        (
            bytes_mut(records.cast(), record_bytes),
            bytes_mut(blob, blob_len),
        )
    };
    match (found, targets) {
        (Some(found), (Some(records), Some(blob)))
            if found.records.len() == record_words && found.blob.len() == blob.len() =>
        {
            for (target, word) in records
                .chunks_exact_mut(size_of::<u32>())
                .zip(&found.records)
            {
                target.copy_from_slice(&word.to_ne_bytes());
            }
            blob.copy_from_slice(&found.blob);
            0
        }
        _ => ERROR_ARGUMENT,
    }
}
