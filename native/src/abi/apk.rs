use super::file::BorrowedFile;
use super::{bytes, bytes_mut, ERROR_ARGUMENT, ERROR_SYSTEM, ERROR_TRUNCATED};
use crate::apk::{pass, Digests, Failure, Piece, Pieces, Section};
use crate::file::{Range, ReadError};
use crate::sha256::Engine;
use core::slice;

/// The system's `errno` on writing is this less the result.
const ERROR_WRITE: i32 = -100_000;

/// More pieces than any APK has: two for each entry, and there are fewer than 65536 of them.
const MAX_PIECES: usize = 1 << 18;

/// Three numbers each: 0 for the file or 1 for the buffer, the offset there, the size.
///
/// # Safety
/// `count * 3` numbers are readable there, and nobody writes to them before the return.
unsafe fn decode_pieces(pointer: *const u64, count: usize) -> Option<Vec<Piece>> {
    if count == 0 {
        return Some(Vec::new());
    }
    if pointer.is_null() || !pointer.is_aligned() || count > MAX_PIECES {
        return None;
    }
    // SAFETY: not null, aligned, not too many, and readable by the caller's promise.
    let numbers = unsafe { slice::from_raw_parts(pointer.cast::<[u64; 3]>(), count) };
    numbers
        .iter()
        .map(|&[kind, offset, size]| match kind {
            0 => Some(Piece::File { offset, size }),
            1 => Some(Piece::Own {
                offset: usize::try_from(offset).ok()?,
                size: usize::try_from(size).ok()?,
            }),
            _ => None,
        })
        .collect()
}

/// Puts a section of an APK together, `size` bytes out of pieces of a file and of a buffer and then zeros; writes it to
/// `output_offset` of another file unless `output_fd` is -1; and hashes it on so many threads. Each kind of digests is left
/// out if its length is 0: of chunks of 1 MiB (SHA-256, SHA-512) and of blocks of 4096 (SHA-256, without and with the salt
/// of 8 zeros).
///
/// # Safety
/// `own`, and each buffer for digests, has the bytes that its length says, `pieces` has `3 * piece_count` numbers. They do
/// not overlap, nobody writes to them before the return, nor closes the files.
#[no_mangle]
pub unsafe extern "C" fn mb_apk_section(
    engine: u32,
    threads: u32,
    input_fd: i32,
    pieces: *const u64,
    piece_count: usize,
    own: *const u8,
    own_len: usize,
    size: u64,
    output_fd: i32,
    output_offset: u64,
    sha256: *mut u8,
    sha256_len: usize,
    sha512: *mut u8,
    sha512_len: usize,
    leaves: *mut u8,
    leaves_len: usize,
    salted_leaves: *mut u8,
    salted_leaves_len: usize,
) -> i32 {
    // SAFETY: the caller's promise is the one that these ask for.
    let (pieces, own, input, output) = unsafe {
        (
            decode_pieces(pieces, piece_count),
            bytes(own, own_len),
            BorrowedFile::new(input_fd),
            BorrowedFile::new(output_fd),
        )
    };
    // SAFETY: the same.
    let outs = unsafe {
        (
            bytes_mut(sha256, sha256_len),
            bytes_mut(sha512, sha512_len),
            bytes_mut(leaves, leaves_len),
            bytes_mut(salted_leaves, salted_leaves_len),
        )
    };
    let (Some(pieces), Some(own), Some(input)) = (pieces, own, input) else {
        return ERROR_ARGUMENT;
    };
    let (Some(sha256), Some(sha512), Some(leaves), Some(salted_leaves)) = outs else {
        return ERROR_ARGUMENT;
    };
    let wanted = |out: &'static mut [u8]| (!out.is_empty()).then_some(out);
    let digests = Digests {
        sha256: wanted(sha256),
        sha512: wanted(sha512),
        leaves: wanted(leaves),
        salted_leaves: wanted(salted_leaves),
    };
    let (Some(engine), Some(pieces)) = (Engine::new(engine), Pieces::new(&input, own, &pieces))
    else {
        return ERROR_ARGUMENT;
    };
    if (output_fd != -1 && output.is_none())
        || Range::new(output_offset, size).is_none()
        || pieces.size() > size
        || !digests.fit(size)
    {
        return ERROR_ARGUMENT;
    }
    let section = Section {
        pieces,
        size,
        output: output.as_deref().map(|file| (file, output_offset)),
        engine,
        threads: threads as usize,
    };
    match pass(&section, digests) {
        Ok(()) => 0,
        Err(Failure::Read(ReadError::Truncated)) => ERROR_TRUNCATED,
        Err(Failure::Read(ReadError::System(errno))) => ERROR_SYSTEM - errno,
        Err(Failure::Write(errno)) => ERROR_WRITE - errno,
    }
}
