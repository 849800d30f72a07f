use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::clusters::{cut_into_clusters, Extent, MAX_CLUSTER_LENGTH};
use crate::deflate::DeflateEncoder;
use crate::lz4::Lz4Encoder;
use crate::threads;
use crate::zstd::ZstdEncoder;
use core::slice;

const DEFLATE: u32 = 1;
const ZSTD: u32 = 2;
/// Level 0 is plain LZ4, others are of LZ4 HC.
const LZ4: u32 = 3;
/// Words of an extent in the caller's memory: bytes of input, bytes stored, whether it is plain.
const EXTENT_WORDS: usize = 3;

/// What one input became.
#[derive(Default)]
struct Compressed {
    extents: Vec<Extent>,
    bytes: Vec<u8>,
}

/// Compresses each input on its own into clusters and returns how many bytes all became together. The inputs stand one after
/// the other in `data`, `lengths` are theirs. Their extents go to `extents` one after the other, three words each, and
/// `extent_counts` says how many each input has; what they store goes to `out`, which takes no more than the inputs do.
///
/// # Safety
/// `data` has as many bytes as `lengths` add up to, `lengths` and `extent_counts` have `inputs` words, `extents` has
/// `extents_len` words and `out` has `out_len` bytes. None overlaps another, and nobody else writes to or reads from them
/// before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_compress_clusters(
    algorithm: u32,
    level: u32,
    block_size: usize,
    cluster_size: usize,
    thread_count: usize,
    data: *const u8,
    lengths: *const u32,
    inputs: usize,
    out: *mut u8,
    out_len: usize,
    extents: *mut u32,
    extents_len: usize,
    extent_counts: *mut u32,
) -> i64 {
    let refused = i64::from(ERROR_ARGUMENT);
    let aligned = lengths.is_aligned() && extents.is_aligned() && extent_counts.is_aligned();
    let there = inputs == 0 || !(lengths.is_null() || extent_counts.is_null());
    let words = (isize::MAX.cast_unsigned() / size_of::<u32>()).min(u32::MAX as usize);
    if !aligned || !there || inputs > words || extents_len > words || extents.is_null() {
        return refused;
    }
    if block_size == 0 || cluster_size == 0 || !cluster_size.is_multiple_of(block_size) {
        return refused;
    }
    if cluster_size > MAX_CLUSTER_LENGTH {
        return refused;
    }
    if inputs == 0 {
        return 0;
    }
    // SAFETY: not null, aligned, not larger than memory can be, and readable by the caller's promise.
    let lengths = unsafe { slice::from_raw_parts(lengths, inputs) };
    let total: usize = lengths.iter().map(|length| *length as usize).sum();
    // SAFETY: the caller's promise is the one that these ask for.
    let buffers = unsafe { (bytes(data, total), bytes_mut(out, out_len)) };
    let (Some(mut data), Some(out)) = buffers else {
        return refused;
    };
    // SAFETY: not null, aligned, not larger than memory can be, and ours alone by the caller's promise.
    let extents = unsafe { slice::from_raw_parts_mut(extents, extents_len) };
    // SAFETY: as above.
    let extent_counts = unsafe { slice::from_raw_parts_mut(extent_counts, inputs) };

    let mut results: Vec<Compressed> = Vec::new();
    results.resize_with(inputs, Compressed::default);
    let mut work = Vec::with_capacity(inputs);
    for (length, result) in lengths.iter().zip(&mut results) {
        let (input, rest) = data.split_at(*length as usize);
        data = rest;
        work.push((input, result));
    }
    let done = threads::for_each(
        work.into_iter(),
        thread_count,
        // Its tables serve one input after the other: most inputs are smaller than they are.
        || (algorithm == LZ4).then(|| Lz4Encoder::new(level)).flatten(),
        |lz4, _, (input, result)| {
            let Compressed { extents, bytes } = result;
            match algorithm {
                DEFLATE => DeflateEncoder::new(input, level).map(|mut encoder| {
                    cut_into_clusters(
                        input,
                        block_size,
                        cluster_size,
                        &mut encoder,
                        extents,
                        bytes,
                    );
                }),
                ZSTD => ZstdEncoder::new(input, level).map(|mut encoder| {
                    cut_into_clusters(
                        input,
                        block_size,
                        cluster_size,
                        &mut encoder,
                        extents,
                        bytes,
                    );
                }),
                LZ4 => lz4.as_mut().map(|encoder| {
                    encoder.begin(input);
                    cut_into_clusters(input, block_size, cluster_size, encoder, extents, bytes);
                }),
                _ => None,
            }
            .ok_or(())
        },
    );
    if done.is_err() {
        return refused;
    }
    let (mut stored, mut written) = (0, 0);
    for (result, count) in results.iter().zip(extent_counts) {
        let Compressed {
            extents: found,
            bytes,
        } = result;
        let words = written + found.len() * EXTENT_WORDS;
        let (Some(bytes_out), Some(extents_out)) = (
            out.get_mut(stored..stored + bytes.len()),
            extents.get_mut(written..words),
        ) else {
            return refused;
        };
        bytes_out.copy_from_slice(bytes);
        for (extent, words) in found.iter().zip(extents_out.chunks_exact_mut(EXTENT_WORDS)) {
            // Lengths of clusters are far below 2^32.
            words.copy_from_slice(&[
                extent.length as u32,
                extent.stored_length as u32,
                u32::from(extent.is_plain),
            ]);
        }
        *count = found.len() as u32;
        stored += bytes.len();
        written = words;
    }
    i64::try_from(stored).unwrap_or(refused)
}
