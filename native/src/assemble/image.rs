//! The image in the making: its file, the digests of its blocks, and the blocks that several pieces share.

use super::Failure;
use crate::file::{copy_range, read_exact_at, CopyError, PageBuffer, ReadError};
use crate::sha256::{BlockHasher, Engine, DIGEST_SIZE};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared blocks are collected and written this many bytes at a time.
pub const SEGMENT_SIZE: u64 = 1 << 20;

/// How the blocks are hashed.
pub struct Hashing {
    pub engine: Engine,
    pub block_size: usize,
    pub salt: Vec<u8>,
}

/// What a thread hashes with.
pub struct Hasher {
    blocks: BlockHasher,
    block_size: usize,
    digests: Vec<u8>,
}

impl Hashing {
    fn hasher(&self) -> Hasher {
        Hasher {
            blocks: BlockHasher::new(self.engine, self.block_size, &self.salt),
            block_size: self.block_size,
            digests: Vec::new(),
        }
    }

    fn zero_leaves(&self, blocks: u64) -> Vec<u8> {
        let mut digest = [0; DIGEST_SIZE];
        self.hasher()
            .blocks
            .hash(&vec![0; self.block_size], &mut digest);
        digest.repeat(usize::try_from(blocks).unwrap_or(0))
    }
}

/// An image whose blocks the new one may take.
pub struct Previous {
    pub file: File,
    /// Where in the file it starts, and how long it is.
    pub base: u64,
    pub size: u64,
    /// Where in the file the digests of its blocks are, made as those of the new one are.
    pub leaves: u64,
}

struct Segment {
    /// From the first piece to the last.
    buffer: Option<PageBuffer>,
    /// Bytes that are still to come.
    missing: u64,
}

pub struct Image {
    file: File,
    /// Where in the file the image starts.
    base: u64,
    hashing: Option<Hashing>,
    previous: Option<Previous>,
    /// The digests of the blocks so far; that of zeros where nothing was written.
    leaves: Mutex<Vec<u8>>,
    shared_size: u64,
    segments: Vec<Mutex<Segment>>,
    /// Buffers that were used, for the next segment.
    spare: Mutex<Vec<PageBuffer>>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds a lock, as a panic ends the process.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Image {
    /// `missing` has the bytes that will be put into each segment of the shared area.
    pub fn new(
        file: File,
        base: u64,
        size: u64,
        shared_size: u64,
        missing: &[u32],
        hashing: Option<Hashing>,
        previous: Option<Previous>,
    ) -> Self {
        let leaves = hashing.as_ref().map_or_else(Vec::new, |hashing| {
            hashing.zero_leaves(size / hashing.block_size as u64)
        });
        let segments = missing
            .iter()
            .map(|&missing| {
                Mutex::new(Segment {
                    buffer: None,
                    missing: u64::from(missing),
                })
            })
            .collect();
        Self {
            file,
            base,
            hashing,
            previous,
            leaves: Mutex::new(leaves),
            shared_size,
            segments,
            spare: Mutex::default(),
        }
    }

    /// How much there is to take from: 0 without a previous image.
    pub fn previous_size(&self) -> u64 {
        self.previous.as_ref().map_or(0, |previous| previous.size)
    }

    /// For one thread; `None` if nothing is hashed.
    pub fn hasher(&self) -> Option<Hasher> {
        self.hashing.as_ref().map(Hashing::hasher)
    }

    /// Writes whole blocks and notes their digests.
    pub fn write(
        &self,
        to: u64,
        blocks: &[u8],
        hasher: &mut Option<Hasher>,
    ) -> Result<(), Failure> {
        if is_zero(blocks) {
            // The file reads as zeros there already, and the digests say so.
            return Ok(());
        }
        if let Some(hasher) = hasher {
            let size = blocks.len() / hasher.block_size * DIGEST_SIZE;
            hasher.digests.resize(size, 0);
            hasher.blocks.hash(blocks, &mut hasher.digests);
            self.note(to, hasher)?;
        }
        self.file
            .write_all_at(blocks, self.base + to)
            .map_err(|error| Failure::Write(error.raw_os_error().unwrap_or(0)))
    }

    /// Keeps the digests that the hasher has, from the block at `to` on.
    fn note(&self, to: u64, hasher: &Hasher) -> Result<(), Failure> {
        let first = usize::try_from(to).map_err(|_| Failure::Unfinished)? / hasher.block_size;
        let at = first * DIGEST_SIZE;
        if let Some(leaves) = lock(&self.leaves).get_mut(at..at + hasher.digests.len()) {
            leaves.copy_from_slice(&hasher.digests);
        }
        Ok(())
    }

    /// Takes whole blocks, and what is known of them, from the previous image. `room` is as long as they are.
    pub fn copy(
        &self,
        from: u64,
        to: u64,
        room: &mut [u8],
        hasher: &mut Option<Hasher>,
    ) -> Result<(), Failure> {
        let previous = self.previous.as_ref().ok_or(Failure::Unfinished)?;
        if let Some(hasher) = hasher {
            let blocks = room.len() / hasher.block_size;
            hasher.digests.resize(blocks * DIGEST_SIZE, 0);
            let first = from / hasher.block_size as u64;
            let at = previous.leaves + first * DIGEST_SIZE as u64;
            read_exact_at(&previous.file, &mut hasher.digests, at).map_err(lost)?;
            self.note(to, hasher)?;
        }
        let source = (&previous.file, previous.base + from);
        match copy_range(source, (&self.file, self.base + to), room) {
            Ok(()) => Ok(()),
            Err(CopyError::Read(error)) => Err(lost(error)),
            Err(CopyError::Write(errno)) => Err(Failure::Write(errno)),
        }
    }

    /// Puts bytes into shared blocks; the last ones of a segment write it.
    pub fn share(&self, to: u64, bytes: &[u8], hasher: &mut Option<Hasher>) -> Result<(), Failure> {
        let (mut to, mut rest) = (to, bytes);
        while !rest.is_empty() {
            let start = to - to % SEGMENT_SIZE;
            let size = SEGMENT_SIZE.min(self.shared_size - start);
            let length = usize::try_from(start + size - to)
                .unwrap_or(usize::MAX)
                .min(rest.len());
            let (part, behind) = rest.split_at(length);
            self.share_within(start, size, to - start, part, hasher)?;
            rest = behind;
            to += length as u64;
        }
        Ok(())
    }

    fn share_within(
        &self,
        start: u64,
        size: u64,
        at: u64,
        bytes: &[u8],
        hasher: &mut Option<Hasher>,
    ) -> Result<(), Failure> {
        let index = usize::try_from(start / SEGMENT_SIZE).map_err(|_| Failure::Unfinished)?;
        let (at, size) = (at as usize, size as usize);
        let segment = self.segments.get(index).ok_or(Failure::Unfinished)?;
        let whole = {
            let mut segment = lock(segment);
            segment.missing = segment
                .missing
                .checked_sub(bytes.len() as u64)
                .ok_or(Failure::Unfinished)?;
            segment
                .buffer
                .get_or_insert_with(|| self.empty_buffer())
                .as_mut_slice()
                .get_mut(at..at + bytes.len())
                .ok_or(Failure::Unfinished)?
                .copy_from_slice(bytes);
            if segment.missing == 0 {
                segment.buffer.take()
            } else {
                None
            }
        };
        if let Some(buffer) = whole {
            let blocks = buffer.as_slice().get(..size).ok_or(Failure::Unfinished)?;
            self.write(start, blocks, hasher)?;
            lock(&self.spare).push(buffer);
        }
        Ok(())
    }

    /// Zeros for a segment.
    fn empty_buffer(&self) -> PageBuffer {
        match lock(&self.spare).pop() {
            Some(mut buffer) => {
                buffer.as_mut_slice().fill(0);
                buffer
            }
            None => PageBuffer::new(SEGMENT_SIZE as usize),
        }
    }

    /// Whether every shared byte came.
    pub fn is_complete(&self) -> bool {
        self.segments
            .iter()
            .all(|segment| lock(segment).missing == 0)
    }

    /// Copies the digests of all blocks; false when `target` has another size.
    pub fn copy_leaves(&self, target: &mut [u8]) -> bool {
        let leaves = lock(&self.leaves);
        let fits = leaves.len() == target.len();
        if fits {
            target.copy_from_slice(&leaves);
        }
        fits
    }
}

/// What failing to read the previous image is.
fn lost(error: ReadError) -> Failure {
    match error {
        ReadError::Truncated => Failure::Previous(0),
        ReadError::System(errno) => Failure::Previous(errno),
    }
}

/// Whether all is zero, told by comparing the bytes with themselves shifted by 16.
fn is_zero(bytes: &[u8]) -> bool {
    let (head, rest) = bytes.split_at(bytes.len().min(16));
    head.iter().all(|&byte| byte == 0) && bytes.get(..rest.len()) == Some(rest)
}
