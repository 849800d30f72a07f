//! Many files at once: what `stat` says of each, and the SHA-256 of each, on several threads.
//!
//! The words of a signature are described by its twin, `src/io/file-signatures.ts`.

use crate::file::PageBuffer;
use crate::sha256::{Engine, LongMessages, CHUNK, DIGEST_SIZE};
use crate::threads;
use rustix::fs::{fstat, open, statat, AtFlags, FileType, Mode, OFlags, Stat, CWD};
use rustix::io::{read, Errno};
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

pub const SIGNATURE_WORDS: usize = 14;

/// Paths that a thread takes at a time.
const STAT_BATCH: usize = 256;
const READ_BATCH: usize = 8;
/// What is read at a time: the next piece is read while the last one is still in the second cache.
const STEP: usize = 256 << 10;

type Signature = [u32; SIGNATURE_WORDS];

fn signature_of(stat: &Stat) -> Signature {
    let mut words = [0; SIGNATURE_WORDS];
    let mut put = |at: usize, value: u64| {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        words[at] = u32::from_le_bytes([a, b, c, d]);
        words[at + 1] = u32::from_le_bytes([e, f, g, h]);
    };
    put(1, stat.st_mode.into());
    put(2, stat.st_dev);
    put(4, stat.st_ino);
    put(6, stat.st_size.cast_unsigned());
    put(8, stat.st_mtime.cast_unsigned());
    put(11, stat.st_ctime.cast_unsigned());
    words[10] = stat.st_mtime_nsec as u32;
    words[13] = stat.st_ctime_nsec as u32;
    words
}

fn failed(errno: Errno) -> Signature {
    let mut words = [0; SIGNATURE_WORDS];
    words[0] = errno.raw_os_error().unsigned_abs();
    words
}

/// The signature of each path; of what symbolic links lead to if they are followed.
pub fn signatures(paths: &[&CStr], follow: bool, threads: usize, out: &mut [Signature]) {
    let flags = if follow {
        AtFlags::empty()
    } else {
        AtFlags::SYMLINK_NOFOLLOW
    };
    let pieces = paths.chunks(STAT_BATCH).zip(out.chunks_mut(STAT_BATCH));
    let done: Result<(), Infallible> = threads::for_each(
        pieces,
        threads,
        || (),
        |(), _, (paths, out)| {
            for (path, out) in paths.iter().zip(out) {
                *out = statat(CWD, *path, flags).map_or_else(failed, |stat| signature_of(&stat));
            }
            Ok(())
        },
    );
    let Ok(()) = done;
}

/// The digest of each regular file, and its signature when it was opened. One that cannot be read has an errno, `ESTALE` when
/// it changed meanwhile.
pub fn digests(
    paths: &[&CStr],
    threads: usize,
    signatures: &mut [Signature],
    digests: &mut [[u8; DIGEST_SIZE]],
    engine: Engine,
) {
    let pieces = paths
        .chunks(READ_BATCH)
        .zip(signatures.chunks_mut(READ_BATCH))
        .zip(digests.chunks_mut(READ_BATCH));
    let done: Result<(), Infallible> = threads::for_each(
        pieces,
        threads,
        || PageBuffer::new(STEP),
        |buffer, _, ((paths, signatures), digests)| {
            for ((path, signature), digest) in paths.iter().zip(signatures).zip(digests) {
                match digest_of(path, buffer, engine) {
                    Ok((of_file, bytes)) => {
                        *signature = of_file;
                        *digest = bytes;
                    }
                    Err(errno) => *signature = failed(errno),
                }
            }
            Ok(())
        },
    );
    let Ok(()) = done;
}

fn digest_of(
    path: &CStr,
    buffer: &mut PageBuffer,
    engine: Engine,
) -> Result<(Signature, [u8; DIGEST_SIZE]), Errno> {
    // A pipe that nobody writes to must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = open(path, flags, Mode::empty())?;
    let before = fstat(&file)?;
    match FileType::from_raw_mode(before.st_mode) {
        FileType::RegularFile => (),
        FileType::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::INVAL),
    }
    let mut message = LongMessages::new(engine, 1);
    loop {
        let bytes = buffer.as_mut_slice();
        let length = fill(&file, bytes)?;
        let (whole, rest) = bytes[..length].split_at(length - length % CHUNK);
        message.update(&[whole]);
        if length < STEP {
            let mut digest = [[0; DIGEST_SIZE]];
            message.finish(&[rest], &mut digest);
            let signature = signature_of(&before);
            let is_same = signature == signature_of(&fstat(&file)?);
            return if is_same {
                Ok((signature, digest[0]))
            } else {
                Err(Errno::STALE)
            };
        }
    }
}

/// Reads until the buffer is full or the file ends. Returns how many bytes that were.
fn fill(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match read(file, &mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => (),
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}
