use super::assemble::{find, start, Form};
use super::scan::{put_back, take};
use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::erofs::{Options, Plan};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Plans are known to the caller by number, so that a wrong one is an error and nothing worse.
static OPEN: Mutex<(u64, BTreeMap<u64, Arc<Plan>>)> = Mutex::new((1, BTreeMap::new()));

const KEEP_TIMES: u32 = 1;
const ALL_ROOT: u32 = 2;

fn planned(handle: u64) -> Option<Arc<Plan>> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.1.get(&handle).map(Arc::clone)
}

/// Plans the image of a scanned folder, whose scan is gone then. `flags`: 1 to keep the files' times, 2 to give all to user and
/// group 0. `facts` gets how many inodes there are, the size of the image and of the metadata, the offset of the root and the
/// bytes of all pieces; `seed` what identifiers are derived from, 32 bytes.
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
    let plan = match Plan::new(folder, found, options) {
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
        plan.piece_size(),
    ];
    // SAFETY: not null, and room for five by the caller's promise.
    unsafe { facts.cast::<[u64; 5]>().write_unaligned(numbers) };
    seed.copy_from_slice(&plan.seed(label));
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = open.0;
    open.0 += 1;
    open.1.insert(handle, Arc::new(plan));
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
    let (Some(plan), Some(salt)) = (planned(plan), unsafe { bytes(salt, salt_len) }) else {
        return i64::from(ERROR_ARGUMENT);
    };
    let form = Form {
        size: plan.size(),
        shared_size: plan.shared_size(),
        block_size: plan.block_size() as u32,
        missing: &plan.bytes_per_segment(),
    };
    // SAFETY: the caller has it open until the return.
    unsafe { start(fd, base, &form, hash_block_size, salt, threads) }
}

/// Hands all pieces of a plan to the assembly that was started for it. Returns 0, also when the assembly has failed: finishing
/// tells.
#[no_mangle]
pub extern "C" fn mb_erofs_add(plan: u64, assembly: u64) -> i32 {
    let (Some(plan), Some(assembly)) = (planned(plan), find(assembly)) else {
        return ERROR_ARGUMENT;
    };
    if !assembly.is_of(plan.size(), plan.shared_size(), plan.block_size()) {
        return ERROR_ARGUMENT;
    }
    plan.pieces(|blob, pieces| assembly.add_pieces(blob, pieces));
    0
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
    let (Some(plan), Some(path)) = (planned(plan), unsafe { bytes_mut(path, path_len) }) else {
        return error;
    };
    let found = usize::try_from(number)
        .ok()
        .and_then(|number| plan.file(number));
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
