use super::file::{code_of, BorrowedFile};
use super::{bytes, bytes_mut, ERROR_ARGUMENT};
use crate::fec::{encode, Engine, FileRows, MemoryRows, Part, CODEWORD, ROOTS};
use crate::file::Range;

/// File descriptor, offset and length of a part of a file.
const PART_SIZE: usize = 3 * size_of::<i64>();
/// More parts than anyone makes a matrix of.
const MAX_PARTS: usize = 1 << 16;

/// The number of an engine that this processor has: of the best for 0; 0 if it has not the one asked for.
#[no_mangle]
pub extern "C" fn mb_fec_engine(engine: u32) -> u32 {
    Engine::new(engine).map_or(0, Engine::number)
}

/// The parity of `255 - roots` rows of `width` bytes: `roots` bytes for each column, in order.
///
/// # Safety
/// `rows` has `(255 - roots) * width` bytes, `parity` has room for `roots * width`; they do not overlap and nobody writes
/// to them before the return.
#[no_mangle]
pub unsafe extern "C" fn mb_fec_encode(
    engine: u32,
    threads: u32,
    roots: usize,
    rows: *const u8,
    width: usize,
    parity: *mut u8,
) -> i32 {
    let Some(engine) = Engine::new(engine).filter(|_| ROOTS.contains(&roots)) else {
        return ERROR_ARGUMENT;
    };
    let (Some(size), Some(parity_size)) = (
        width.checked_mul(CODEWORD - roots),
        width.checked_mul(roots),
    ) else {
        return ERROR_ARGUMENT;
    };
    // SAFETY: the caller's promise is the one that these ask for.
    let buffers = unsafe { (bytes(rows, size), bytes_mut(parity, parity_size)) };
    let (Some(bytes), Some(parity)) = buffers else {
        return ERROR_ARGUMENT;
    };
    let rows = MemoryRows { bytes, width };
    code_of(encode(engine, threads as usize, roots, &rows, parity))
}

/// The same for columns `first_column` and following, `parity_len / roots` of them, of a matrix in files: their parts one
/// after the other, then zeros. A part is three numbers of 64 bits: descriptor, offset, length.
///
/// # Safety
/// `parts` has `count * 24` bytes, `parity` has `parity_len`; they do not overlap and nobody writes to them before the
/// return, nor closes the files.
#[no_mangle]
pub unsafe extern "C" fn mb_fec_encode_files(
    engine: u32,
    threads: u32,
    roots: usize,
    parts: *const u8,
    count: usize,
    row_size: u64,
    first_column: u64,
    parity: *mut u8,
    parity_len: usize,
) -> i32 {
    let Some(engine) = Engine::new(engine).filter(|_| ROOTS.contains(&roots)) else {
        return ERROR_ARGUMENT;
    };
    let matrix = row_size.checked_mul((CODEWORD - roots) as u64);
    let Some(matrix) = matrix.filter(|_| count <= MAX_PARTS) else {
        return ERROR_ARGUMENT;
    };
    // SAFETY: the caller's promise is the one that these ask for.
    let buffers = unsafe {
        (
            bytes(parts, count * PART_SIZE),
            bytes_mut(parity, parity_len),
        )
    };
    let (Some(parts), Some(parity)) = buffers else {
        return ERROR_ARGUMENT;
    };
    let width = (parity_len / roots) as u64;
    let is_inside = first_column
        .checked_add(width)
        .is_some_and(|end| end <= row_size);
    if !parity_len.is_multiple_of(roots) || !is_inside {
        return ERROR_ARGUMENT;
    }
    // SAFETY: nobody closes the files, by the caller's promise.
    let parts: Option<Vec<_>> = parts
        .as_chunks::<PART_SIZE>()
        .0
        .iter()
        .map(|part| unsafe { open_part(part) })
        .collect();
    let Some(parts) = parts else {
        return ERROR_ARGUMENT;
    };
    let total = parts
        .iter()
        .try_fold(0_u64, |sum, (_, range)| sum.checked_add(range.length));
    if total.is_none_or(|total| total > matrix) {
        return ERROR_ARGUMENT;
    }
    let rows = FileRows {
        parts: parts
            .iter()
            .map(|(file, range)| Part {
                file,
                range: *range,
            })
            .collect(),
        size: row_size,
        first_column,
    };
    code_of(encode(engine, threads as usize, roots, &rows, parity))
}

/// `None` if there can be no such part.
///
/// # Safety
/// Nobody closes the file while the result lives.
unsafe fn open_part(part: &[u8; PART_SIZE]) -> Option<(BorrowedFile, Range)> {
    let number = |index: usize| {
        part.as_chunks()
            .0
            .get(index)
            .copied()
            .map(i64::from_ne_bytes)
    };
    let fd = i32::try_from(number(0)?).ok()?;
    let offset = u64::try_from(number(1)?).ok()?;
    let length = u64::try_from(number(2)?).ok()?;
    // SAFETY: the caller's promise.
    Some((
        unsafe { BorrowedFile::new(fd) }?,
        Range::new(offset, length)?,
    ))
}
