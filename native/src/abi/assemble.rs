use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::assemble::{Assembly, Failure, Hashing, Image, Previous, SEGMENT_SIZE};
use crate::sha256::Engine;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

/// Assemblies are known to the caller by number, so that a wrong one is an error and nothing worse.
static OPEN: Mutex<(u64, BTreeMap<u64, Arc<Assembly>>)> = Mutex::new((1, BTreeMap::new()));

const MAX_SALT: usize = 256;
const MAX_BLOCK: u32 = 1 << 16;
const MAX_THREADS: u32 = 64;

pub(super) fn find(handle: u64) -> Option<Arc<Assembly>> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.1.get(&handle).map(Arc::clone)
}

/// The 32-bit words at a pointer; `None` where there cannot be so many.
///
/// # Safety
/// `length` words are readable there, and nobody writes to them while the slice lives.
unsafe fn words<'a>(pointer: *const u32, length: usize) -> Option<&'a [u32]> {
    if length == 0 {
        return Some(&[]);
    }
    if pointer.is_null() || !pointer.is_aligned() || length > MAX_WORDS {
        return None;
    }
    // SAFETY: not null, aligned, not larger than memory can be, and readable by the caller's promise.
    Some(unsafe { slice::from_raw_parts(pointer, length) })
}

const MAX_WORDS: usize = isize::MAX.cast_unsigned() / size_of::<u32>();

/// Starts an image of `size` bytes at `base` of an open file, which must read as zeros there. Its first `shared_size` bytes are
/// put together from pieces that share blocks: `missing` has how many bytes come into each MiB of them. Blocks of
/// `hash_block_size` are hashed behind the salt, unless that is 0. Blocks may be taken from a previous image of
/// `previous_size` bytes at `previous_base` of another open file, and their digests from `previous_leaves` of it, unless its
/// size is 0.
///
/// Returns a handle, or a negative error.
///
/// # Safety
/// `fd` is open for writing, `previous_fd` for reading where there is a previous image; `missing` has `segments` words and `salt` has `salt_len` bytes.
#[no_mangle]
pub unsafe extern "C" fn mb_assembly_start(
    fd: i32,
    base: u64,
    size: u64,
    shared_size: u64,
    block_size: u32,
    missing: *const u32,
    segments: usize,
    hash_block_size: u32,
    salt: *const u8,
    salt_len: usize,
    previous_fd: i32,
    previous_base: u64,
    previous_size: u64,
    previous_leaves: u64,
    threads: u32,
) -> i64 {
    // SAFETY: the caller's promise is the one that these ask for.
    let (missing, salt) = unsafe { (words(missing, segments), bytes(salt, salt_len)) };
    let (Some(missing), Some(salt)) = (missing, salt) else {
        return i64::from(ERROR_ARGUMENT);
    };
    let form = Form {
        size,
        shared_size,
        block_size,
        missing,
    };
    let previous = if previous_size == 0 {
        None
    } else {
        let fits = |at: u64, size: u64| {
            at.checked_add(size)
                .is_some_and(|end| i64::try_from(end).is_ok())
        };
        if !fits(previous_base, previous_size) || !fits(previous_leaves, previous_size) {
            return i64::from(ERROR_ARGUMENT);
        }
        // SAFETY: the caller has it open until the return.
        let Some(file) = (unsafe { cloned(previous_fd) }) else {
            return i64::from(ERROR_ARGUMENT);
        };
        Some(Previous {
            file,
            base: previous_base,
            size: previous_size,
            leaves: previous_leaves,
        })
    };
    // SAFETY: the caller has it open until the return.
    unsafe { start(fd, base, &form, hash_block_size, salt, previous, threads) }
}

/// A descriptor of our own.
///
/// # Safety
/// `fd` is open, if it is a descriptor at all.
unsafe fn cloned(fd: i32) -> Option<File> {
    if fd < 0 {
        return None;
    }
    // SAFETY: open by the caller's promise.
    let file = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
    file.ok().map(File::from)
}

/// What an image is like before there is anything of it.
pub(super) struct Form<'a> {
    pub size: u64,
    pub shared_size: u64,
    pub block_size: u32,
    /// Bytes that come into each segment.
    pub missing: &'a [u32],
}

/// As `mb_assembly_start`.
///
/// # Safety
/// `fd` is open.
pub(super) unsafe fn start(
    fd: i32,
    base: u64,
    form: &Form<'_>,
    hash_block_size: u32,
    salt: &[u8],
    previous: Option<Previous>,
    threads: u32,
) -> i64 {
    let error = i64::from(ERROR_ARGUMENT);
    let Form {
        size,
        shared_size,
        block_size,
        missing,
    } = *form;
    let is_block = |size: u32| size.is_power_of_two() && (64..=MAX_BLOCK).contains(&size);
    let whole = |bytes: u64| bytes.is_multiple_of(u64::from(block_size));
    let valid = is_block(block_size)
        && (hash_block_size == 0 || (is_block(hash_block_size) && hash_block_size <= block_size))
        && whole(size)
        && whole(shared_size)
        && shared_size <= size
        && shared_size.div_ceil(SEGMENT_SIZE) == missing.len() as u64
        && base
            .checked_add(size)
            .is_some_and(|end| i64::try_from(end).is_ok())
        && salt.len() <= MAX_SALT
        && threads <= MAX_THREADS;
    if !valid {
        return error;
    }
    // SAFETY: open by the caller's promise.
    let Some(file) = (unsafe { cloned(fd) }) else {
        return error;
    };
    let Some(engine) = Engine::new(Engine::BEST) else {
        return error;
    };
    let hashing = (hash_block_size != 0).then(|| Hashing {
        engine,
        block_size: hash_block_size as usize,
        salt: salt.to_vec(),
    });
    let image = Image::new(file, base, size, shared_size, missing, hashing, previous);
    let assembly = Assembly::start(
        image,
        size,
        shared_size,
        block_size as usize,
        threads as usize,
    );
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = open.0;
    open.0 += 1;
    open.1.insert(handle, Arc::new(assembly));
    i64::try_from(handle).unwrap_or(error)
}

/// Hands over a batch of pieces, in the form that `assemble::batch` describes; both buffers are copied. Waits while enough of
/// them wait already. Returns 0, also when the assembly has failed: finishing tells.
///
/// # Safety
/// `blob` has `blob_len` bytes and `records` has `record_words` words.
#[no_mangle]
pub unsafe extern "C" fn mb_assembly_add(
    handle: u64,
    blob: *const u8,
    blob_len: usize,
    records: *const u32,
    record_words: usize,
) -> i32 {
    // SAFETY: the caller's promise is the one that these ask for.
    let (blob, records) = unsafe { (bytes(blob, blob_len), words(records, record_words)) };
    let (Some(blob), Some(records), Some(assembly)) = (blob, records, find(handle)) else {
        return ERROR_ARGUMENT;
    };
    match assembly.add(blob.to_vec(), records) {
        Some(()) => 0,
        None => ERROR_ARGUMENT,
    }
}

/// How many bytes are in the image; 0 for a handle that is not open.
#[no_mangle]
pub extern "C" fn mb_assembly_progress(handle: u64) -> u64 {
    find(handle).map_or(0, |assembly| assembly.progress())
}

/// Makes the threads stop soon.
#[no_mangle]
pub extern "C" fn mb_assembly_cancel(handle: u64) {
    if let Some(assembly) = find(handle) {
        assembly.cancel();
    }
}

/// Waits for the end and closes the handle. `leaves` gets the digest of every block, `failure` what went wrong when the result
/// is 1: kind, number of the file, errno, size found. Returns 0 when the image is whole.
///
/// # Safety
/// `leaves` has room for `leaves_len` bytes, `failure` for `4` numbers; nobody else uses them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_assembly_finish(
    handle: u64,
    leaves: *mut u8,
    leaves_len: usize,
    failure: *mut u64,
) -> i32 {
    // SAFETY: the caller's promise is the one that this asks for.
    let leaves = unsafe { bytes_mut(leaves, leaves_len) };
    let assembly = OPEN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .1
        .remove(&handle);
    let (Some(leaves), Some(assembly), false) = (leaves, assembly, failure.is_null()) else {
        return ERROR_ARGUMENT;
    };
    let told = match assembly.finish() {
        Ok(image) if image.copy_leaves(leaves) => return 0,
        Ok(_) => return ERROR_ARGUMENT,
        Err(told) => told,
    };
    let errno = |errno: i32| u64::from(errno.unsigned_abs());
    let numbers = match told {
        Failure::Cancelled => [1, 0, 0, 0],
        Failure::Read { number, errno: of } => [2, u64::from(number), errno(of), 0],
        Failure::Size { number, found } => [3, u64::from(number), 0, found],
        Failure::Write(of) => [4, 0, errno(of), 0],
        Failure::Unfinished => [5, 0, 0, 0],
        Failure::Previous(of) => [6, 0, errno(of), 0],
    };
    // SAFETY: not null, and room for four by the caller's promise.
    unsafe { failure.cast::<[u64; 4]>().write_unaligned(numbers) };
    1
}
