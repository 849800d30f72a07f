use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::cluster_batch::{
    compress, extent_words_of, room_of, Algorithm, Failure, FilePart, Input, Sizes,
};
use crate::clusters::MAX_CLUSTER_LENGTH;
use core::slice;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Words of an input: its length, whether it is compressed (1) or read only (0), then of the file that it is part of the path's
/// offset and length in `paths` (length 0 when the bytes are in `data`), and two each, the lower one first, for where it is in
/// the file and for the file's size, which is 2^64 - 1 where the file goes on behind what is a slice of it.
const INPUT_WORDS: usize = 8;

/// Any input is shorter than this: positions in one have 32 bits.
const MAX_INPUT: usize = 1 << 31;

pub(super) fn algorithm_of(number: u32) -> Option<Algorithm> {
    match number {
        1 => Some(Algorithm::Deflate),
        2 => Some(Algorithm::Zstd),
        3 => Some(Algorithm::Lz4),
        _ => None,
    }
}

/// Compresses each input on its own into clusters. The bytes of inputs, which are read first where files have them, stand in
/// `data`, at multiples of 64 bytes with at least a byte between them, and what they became stands in `out`, at the same
/// places. Their extents stand in `extents`, three words each, with room for one for each block of an input that is begun;
/// `extent_counts` says how many there are of each. What is read only has none.
///
/// Returns 0; or a negative error, or 1 and in `failure` what went wrong: kind (1 the system's error, 2 the size of a file),
/// number of the input, errno, size found.
///
/// # Safety
/// `inputs` has `input_count` times eight words, `paths` has `paths_len` bytes, `data` and `out` have `data_len` bytes each,
/// `extents` has `extents_len` words, `extent_counts` has `input_count` and `failure` four numbers. None overlaps another, and
/// nobody else writes to or reads from them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_compress_batch(
    algorithm: u32,
    level: u32,
    block_size: usize,
    cluster_size: usize,
    thread_count: usize,
    inputs: *const u32,
    input_count: usize,
    paths: *const u8,
    paths_len: usize,
    data: *mut u8,
    out: *mut u8,
    data_len: usize,
    extents: *mut u32,
    extents_len: usize,
    extent_counts: *mut u32,
    failure: *mut u64,
) -> i32 {
    let words = isize::MAX.cast_unsigned() / size_of::<u32>();
    let there = ![inputs, extents.cast_const(), extent_counts.cast_const()]
        .iter()
        .any(|pointer| pointer.is_null() || !pointer.is_aligned());
    if !there || failure.is_null() || input_count > words / INPUT_WORDS || extents_len > words {
        return ERROR_ARGUMENT;
    }
    // SAFETY: the caller's promise is the one that these ask for.
    let buffers = unsafe {
        (
            bytes(paths, paths_len),
            bytes_mut(data, data_len),
            bytes_mut(out, data_len),
        )
    };
    let (Some(paths), Some(data), Some(out)) = buffers else {
        return ERROR_ARGUMENT;
    };
    // SAFETY: not null, aligned, not larger than memory can be, and readable by the caller's promise.
    let inputs = unsafe { slice::from_raw_parts(inputs, input_count * INPUT_WORDS) };
    // SAFETY: not null, aligned, not larger than memory can be, and ours alone by the caller's promise.
    let extents = unsafe { slice::from_raw_parts_mut(extents, extents_len) };
    // SAFETY: as above.
    let extent_counts = unsafe { slice::from_raw_parts_mut(extent_counts, input_count) };
    let Some(algorithm) = algorithm_of(algorithm) else {
        return ERROR_ARGUMENT;
    };
    let valid = block_size > 0
        && cluster_size > 0
        && cluster_size.is_multiple_of(block_size)
        && cluster_size <= MAX_CLUSTER_LENGTH;
    let sizes = Sizes {
        block: block_size,
        cluster: cluster_size,
    };
    let memory = Memory {
        data,
        out,
        extents,
        extent_counts,
    };
    let Some(inputs) = valid
        .then(|| list_inputs(inputs, paths, block_size, memory))
        .flatten()
    else {
        return ERROR_ARGUMENT;
    };
    let numbers = match compress(inputs, algorithm, level, sizes, thread_count) {
        Ok(()) => return 0,
        Err((_, Failure::Refused)) => return ERROR_ARGUMENT,
        Err((index, Failure::System(errno))) => [1, index as u64, errno.unsigned_abs().into(), 0],
        Err((index, Failure::Size(found))) => [2, index as u64, 0, found],
    };
    // SAFETY: not null, and room for four by the caller's promise.
    unsafe { failure.cast::<[u64; 4]>().write_unaligned(numbers) };
    1
}

/// Where the inputs are and their outputs go, one after the other.
struct Memory<'a> {
    data: &'a mut [u8],
    out: &'a mut [u8],
    extents: &'a mut [u32],
    extent_counts: &'a mut [u32],
}

/// `None` where a record is not what it must be, or there is not room for all.
fn list_inputs<'a>(
    records: &[u32],
    paths: &'a [u8],
    block_size: usize,
    memory: Memory<'a>,
) -> Option<Vec<Input<'a>>> {
    let Memory {
        mut data,
        mut out,
        mut extents,
        extent_counts,
    } = memory;
    let (records, _) = records.as_chunks::<INPUT_WORDS>();
    let mut inputs = Vec::with_capacity(records.len());
    for (record, extent_count) in records.iter().zip(extent_counts) {
        let [length, is_compressed, path, path_length, from, from_high, size, size_high] = *record;
        let length = length as usize;
        let room = room_of(length).filter(|_| length < MAX_INPUT)?;
        let long = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let (from, size) = (long(from, from_high), long(size, size_high));
        let path = paths.get(path as usize..)?.get(..path_length as usize)?;
        let is_file = !path.is_empty();
        if is_file && from.checked_add(length as u64)? > size {
            return None;
        }
        inputs.push(Input {
            file: is_file.then(|| FilePart {
                path: Path::new(OsStr::from_bytes(path)),
                from,
                size,
            }),
            length,
            is_compressed: is_compressed != 0,
            data: data.split_off_mut(..room)?,
            out: out.split_off_mut(..room)?,
            extents: extents.split_off_mut(..extent_words_of(length, block_size))?,
            extent_count,
        });
    }
    Some(inputs)
}
