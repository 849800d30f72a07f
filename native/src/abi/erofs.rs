use super::assemble::{find, start, Form};
use super::clusters::algorithm_of;
use super::scan::{put_back, take};
use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::cluster_batch::Sizes;
use crate::clusters::MAX_CLUSTER_LENGTH;
use crate::erofs::compressed::{write, Control, Failure, Settings};
use crate::erofs::{Options, Plan};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// A plan, and what others see of it while it is written compressed.
struct Open {
    plan: Plan,
    control: Control,
}

/// Plans are known to the caller by number, so that a wrong one is an error and nothing worse.
static OPEN: Mutex<(u64, BTreeMap<u64, Arc<Open>>)> = Mutex::new((1, BTreeMap::new()));

const KEEP_TIMES: u32 = 1;
const ALL_ROOT: u32 = 2;
const COMPRESSED: u32 = 4;
const MAX_THREADS: u32 = 64;

fn find_plan(handle: u64) -> Option<Arc<Open>> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.1.get(&handle).map(Arc::clone)
}

/// Plans the image of a scanned folder, whose scan is gone then. `flags`: 1 to keep the files' times, 2 to give all to user and
/// group 0, 4 for an image of compressed files, of which only `mb_erofs_write` knows what goes where. `facts` gets how many
/// inodes there are, the size of the image and of the metadata, the offset of the root and the bytes of all pieces; of a
/// compressed one 0 for the next three, then the bytes of all files. `seed` gets what identifiers are derived from, 32 bytes.
///
/// Returns a handle; 0 when something of the folder cannot be stored, or not by this: then the scan stays. Or a negative error.
///
/// # Safety
/// `folder` has `folder_len` bytes and `label` `label_len`; `facts` has room for 5 numbers and `seed` for 32 bytes.
#[no_mangle]
pub unsafe extern "C" fn mb_erofs_plan(
    scan: u64,
    folder: *const u8,
    folder_len: usize,
    label: *const u8,
    label_len: usize,
    block_size: u32,
    build_time: i64,
    flags: u32,
    facts: *mut u64,
    seed: *mut u8,
) -> i64 {
    let error = i64::from(ERROR_ARGUMENT);
    // SAFETY: the caller's promise is the one that these ask for.
    let (folder, label, seed) = unsafe {
        (
            bytes(folder, folder_len),
            bytes(label, label_len),
            bytes_mut(seed, 32),
        )
    };
    let (Some(folder), Some(label), Some(seed)) = (folder, label, seed) else {
        return error;
    };
    if facts.is_null() || ![1 << 12, 1 << 14, 1 << 16].contains(&block_size) {
        return error;
    }
    let Some(found) = take(scan) else {
        return error;
    };
    let options = Options {
        block_size,
        build_time,
        keep_times: flags & KEEP_TIMES != 0,
        all_root: flags & ALL_ROOT != 0,
    };
    let made = if flags & COMPRESSED == 0 {
        Plan::new(folder, found, options)
    } else {
        Plan::unplaced(folder, found, options)
    };
    let plan = match made {
        Ok(plan) => plan,
        Err(found) => {
            put_back(scan, found);
            return 0;
        }
    };
    let numbers = [
        plan.inodes() as u64,
        plan.size(),
        plan.shared_size(),
        plan.root_offset(),
        if plan.is_placed() {
            plan.piece_size()
        } else {
            plan.content_size()
        },
    ];
    // SAFETY: not null, and room for five by the caller's promise.
    unsafe { facts.cast::<[u64; 5]>().write_unaligned(numbers) };
    seed.copy_from_slice(&plan.seed(label));
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = open.0;
    open.0 += 1;
    let control = Control::default();
    open.1.insert(handle, Arc::new(Open { plan, control }));
    i64::try_from(handle).unwrap_or(error)
}

/// Starts the assembly of a planned image, as `mb_assembly_start` does. Numbers of files are those of their inodes, from 0.
///
/// # Safety
/// `fd` is open for writing; `salt` has `salt_len` bytes.
#[no_mangle]
pub unsafe extern "C" fn mb_erofs_start(
    plan: u64,
    fd: i32,
    base: u64,
    hash_block_size: u32,
    salt: *const u8,
    salt_len: usize,
    threads: u32,
) -> i64 {
    // SAFETY: the caller's promise is the one that this asks for.
    let (Some(open), Some(salt)) = (find_plan(plan), unsafe { bytes(salt, salt_len) }) else {
        return i64::from(ERROR_ARGUMENT);
    };
    let plan = &open.plan;
    if !plan.is_placed() {
        return i64::from(ERROR_ARGUMENT);
    }
    let form = Form {
        size: plan.size(),
        shared_size: plan.shared_size(),
        block_size: plan.block_size() as u32,
        missing: &plan.bytes_per_segment(),
    };
    // SAFETY: the caller has it open until the return.
    unsafe { start(fd, base, &form, hash_block_size, salt, None, threads) }
}

/// Hands all pieces of a plan to the assembly that was started for it. Returns 0, also when the assembly has failed: finishing
/// tells.
#[no_mangle]
pub extern "C" fn mb_erofs_add(plan: u64, assembly: u64) -> i32 {
    let (Some(open), Some(assembly)) = (find_plan(plan), find(assembly)) else {
        return ERROR_ARGUMENT;
    };
    let plan = &open.plan;
    if !plan.is_placed() || !assembly.is_of(plan.size(), plan.shared_size(), plan.block_size()) {
        return ERROR_ARGUMENT;
    }
    plan.pieces(|blob, pieces| assembly.add_pieces(blob, pieces));
    0
}

/// Writes the image of a compressed plan at `base` of a file, all but the superblock and what stands behind that. Algorithms and
/// levels are those of `mb_compress_batch`; `inline_tails` is 1 where data may stand behind inodes, else 0. `numbers` gets how
/// many blocks the image has, the offset of the root, how many files are compressed, and whether data stands behind an index;
/// or what went wrong when the result is 1: kind, number of the file, errno, size or number of blocks found.
///
/// # Safety
/// `fd` is open for writing; `numbers` has room for four numbers.
#[no_mangle]
pub unsafe extern "C" fn mb_erofs_write(
    plan: u64,
    fd: i32,
    base: u64,
    algorithm: u32,
    level: u32,
    cluster_size: u32,
    inline_tails: u32,
    threads: u32,
    numbers: *mut u64,
) -> i32 {
    let (Some(open), Some(algorithm)) = (find_plan(plan), algorithm_of(algorithm)) else {
        return ERROR_ARGUMENT;
    };
    let (block, cluster) = (open.plan.block_size() as usize, cluster_size as usize);
    let valid = !open.plan.is_placed()
        && (block..=MAX_CLUSTER_LENGTH).contains(&cluster)
        && cluster.is_multiple_of(block)
        && (1..=MAX_THREADS).contains(&threads)
        && i64::try_from(base).is_ok()
        && fd >= 0
        && !numbers.is_null();
    if !valid {
        return ERROR_ARGUMENT;
    }
    // SAFETY: open by the caller's promise.
    let Ok(file) = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned() else {
        return ERROR_ARGUMENT;
    };
    let settings = Settings {
        algorithm,
        level,
        sizes: Sizes { block, cluster },
        inline_tails: inline_tails != 0,
        threads: threads as usize,
    };
    let errno = |errno: i32| u64::from(errno.unsigned_abs());
    let (told, result) = match write(
        &open.plan,
        &settings,
        &File::from(file),
        base,
        &open.control,
    ) {
        Ok(written) => (
            [
                written.blocks,
                written.root_offset,
                written.compressed_files,
                u64::from(written.has_tails),
            ],
            0,
        ),
        Err(Failure::Refused) => return ERROR_ARGUMENT,
        Err(failure) => {
            let told = match failure {
                Failure::Cancelled | Failure::Refused => [1, 0, 0, 0],
                Failure::Read { number, errno: of } => [2, u64::from(number), errno(of), 0],
                Failure::Size { number, found } => [3, u64::from(number), 0, found],
                Failure::Write(of) => [4, 0, errno(of), 0],
                Failure::Blocks(count) => [5, 0, 0, count],
            };
            (told, 1)
        }
    };
    // SAFETY: not null, and room for four by the caller's promise.
    unsafe { numbers.cast::<[u64; 4]>().write_unaligned(told) };
    result
}

/// How many bytes of files `mb_erofs_write` has in the image; 0 for a plan that is not open.
#[no_mangle]
pub extern "C" fn mb_erofs_progress(plan: u64) -> u64 {
    find_plan(plan).map_or(0, |open| open.control.done.load(Ordering::Relaxed))
}

/// Makes `mb_erofs_write` stop soon.
#[no_mangle]
pub extern "C" fn mb_erofs_cancel(plan: u64) {
    if let Some(open) = find_plan(plan) {
        open.control.cancelled.store(true, Ordering::Relaxed);
    }
}

/// The planned size of a file, and its path: a slash and a name for each directory below the folder and for itself, cut where
/// there is no more room. Returns the length of that.
///
/// # Safety
/// `size` has room for a number and `path` for `path_len` bytes.
#[no_mangle]
pub unsafe extern "C" fn mb_erofs_file(
    plan: u64,
    number: u64,
    size: *mut u64,
    path: *mut u8,
    path_len: usize,
) -> i64 {
    let error = i64::from(ERROR_ARGUMENT);
    // SAFETY: the caller's promise is the one that this asks for.
    let (Some(open), Some(path)) = (find_plan(plan), unsafe { bytes_mut(path, path_len) }) else {
        return error;
    };
    let found = usize::try_from(number)
        .ok()
        .and_then(|number| open.plan.file(number));
    let (Some((planned, name)), false) = (found, size.is_null()) else {
        return error;
    };
    // SAFETY: not null, and room by the caller's promise.
    unsafe { size.write_unaligned(planned) };
    let length = name.len().min(path.len());
    path[..length].copy_from_slice(&name[..length]);
    i64::try_from(length).unwrap_or(error)
}

/// Forgets a plan.
#[no_mangle]
pub extern "C" fn mb_erofs_close(plan: u64) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.1.remove(&plan);
}
