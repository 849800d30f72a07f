//! Hashing the blocks of a range of a file: read in pieces that stay in the cache, on several threads, without reading
//! its holes.

use crate::file::{read_exact_at, HoleMap, PageBuffer, Range, ReadError};
use crate::sha256::{BlockHasher, Engine, LongMessage, CHUNK, DIGEST_SIZE};
use crate::threads;
use std::fs::File;

/// What a thread reads at a time: large enough to hide the call, small enough for the processor's second cache.
const PIECE: usize = 768 << 10;
/// Below this a thread costs more than it saves.
const MIN_BYTES_PER_THREAD: u64 = 1 << 20;
/// A smaller hole is read as the zeros it is.
const MIN_HOLE: u64 = 64 << 10;
/// So many holes are looked for in a piece; a file made of crumbs is read instead.
const MAX_HOLES: usize = 8;

pub struct Parameters<'a> {
    pub engine: Engine,
    pub block_size: usize,
    pub salt: &'a [u8],
    pub threads: usize,
}

/// Writes the digest of each block of the range to `out`; the last block is padded with zeros.
pub fn hash_file(
    file: &File,
    range: Range,
    parameters: &Parameters<'_>,
    out: &mut [u8],
) -> Result<(), ReadError> {
    let &Parameters {
        engine,
        block_size,
        salt,
        threads,
    } = parameters;
    let holes = HoleMap::new(file);
    if holes.is_some() && file.metadata()?.len() < range.end() {
        return Err(ReadError::Truncated); // or what is missing would pass for a hole
    }
    let piece = piece_blocks(block_size, engine.lanes()) * block_size;
    let length = usize::try_from(range.length).unwrap_or(usize::MAX);
    let buffer_size = piece.min(length.next_multiple_of(block_size));
    let useful = usize::try_from(range.length / MIN_BYTES_PER_THREAD).unwrap_or(usize::MAX);
    threads::for_each(
        out.chunks_mut(piece / block_size * DIGEST_SIZE),
        threads.min(useful),
        || PieceHasher {
            file,
            end: range.end(),
            holes: holes.as_ref(),
            block_size: block_size as u64,
            buffer: PageBuffer::new(buffer_size),
            hasher: BlockHasher::new(engine, block_size, salt),
            data_until: 0,
            hole_until: 0,
        },
        |hasher, index, digests| hasher.hash(range.offset + index as u64 * piece as u64, digests),
    )
}

/// Whole groups of lanes, if that many blocks fit.
fn piece_blocks(block_size: usize, lanes: usize) -> usize {
    let blocks = (PIECE / block_size).max(1);
    if blocks < lanes {
        blocks
    } else {
        blocks / lanes * lanes
    }
}

/// What is read at a time for long messages: the next piece is read while the last one is still in the second cache.
const STEP: usize = 256 << 10;

/// The SHA-256 of each range as one message, into `out`. What ranges have in common is read once, and hashed for all of them at
/// once where they begin at the same place of a chunk.
pub fn digest_ranges(
    file: &File,
    ranges: &[Range],
    engine: Engine,
    out: &mut [[u8; DIGEST_SIZE]],
) -> Result<(), ReadError> {
    let mut buffer = PageBuffer::new(STEP);
    let mut messages: Vec<_> = ranges.iter().map(|_| LongMessage::begin()).collect();
    let phase_of = |range: &Range| range.offset % CHUNK as u64;
    let mut phases: Vec<_> = ranges.iter().map(phase_of).collect();
    phases.sort_unstable();
    phases.dedup();
    for phase in phases {
        let together = ranges.iter().zip(&mut messages);
        let mut together: Vec<_> = together
            .filter(|(range, _)| phase_of(range) == phase)
            .collect();
        digest_chunks(file, &mut together, engine, buffer.as_mut_slice())?;
    }
    for ((range, message), digest) in ranges.iter().zip(messages).zip(out) {
        let mut rest = [0; CHUNK];
        let size = usize::try_from(range.length % CHUNK as u64).unwrap_or(0);
        read_exact_at(file, &mut rest[..size], chunks_end(range))?;
        *digest = message.finish(&rest[..size], engine);
    }
    Ok(())
}

/// Where the whole chunks of a range end.
fn chunks_end(range: &Range) -> u64 {
    range.end() - range.length % CHUNK as u64
}

/// Adds the whole chunks of the ranges, which begin at the same place of a chunk.
fn digest_chunks(
    file: &File,
    messages: &mut [(&Range, &mut LongMessage)],
    engine: Engine,
    buffer: &mut [u8],
) -> Result<(), ReadError> {
    let mut at = 0;
    loop {
        let bounds = messages
            .iter()
            .flat_map(|(range, _)| [range.offset, chunks_end(range)]);
        let Some(next) = bounds.filter(|bound| *bound > at).min() else {
            return Ok(());
        };
        let mut open: Vec<_> = messages
            .iter_mut()
            .filter(|(range, _)| range.offset <= at && at < chunks_end(range))
            .map(|(_, message)| &mut **message)
            .collect();
        if open.is_empty() {
            at = next;
            continue;
        }
        let length = usize::try_from(next - at).unwrap_or(STEP).min(buffer.len());
        let bytes = &mut buffer[..length];
        read_exact_at(file, bytes, at)?;
        LongMessage::update(&mut open, bytes, engine);
        at += length as u64;
    }
}

/// What a thread works with.
struct PieceHasher<'a> {
    file: &'a File,
    /// Where the range ends, in the file.
    end: u64,
    holes: Option<&'a HoleMap<'a>>,
    block_size: u64,
    buffer: PageBuffer,
    hasher: BlockHasher,
    /// What was found out for an earlier piece: no hole before this place, ...
    data_until: u64,
    /// ... or nothing but a hole.
    hole_until: u64,
}

impl PieceHasher<'_> {
    /// Hashes the blocks from `start` on, as many as there is room for digests.
    fn hash(&mut self, start: u64, digests: &mut [u8]) -> Result<(), ReadError> {
        let blocks = (digests.len() / DIGEST_SIZE) as u64;
        let end = start + blocks * self.block_size;
        let mut at = start;
        let mut digests = digests;
        let mut looks = 0;
        while at < end {
            let (is_hole, until) = self.next_extent(start, at, end, looks < MAX_HOLES);
            let count = usize::try_from((until - at) / self.block_size).unwrap_or(0);
            let (now, later) = digests.split_at_mut((count * DIGEST_SIZE).min(digests.len()));
            if is_hole {
                self.hasher.hash_zeros(now);
            } else {
                self.hash_data(at, until, now)?;
            }
            digests = later;
            at = until;
            looks += 1;
        }
        Ok(())
    }

    /// Whether the blocks from `at` on are in a hole, and up to where, in whole blocks from `start`.
    fn next_extent(&mut self, start: u64, at: u64, end: u64, look: bool) -> (bool, u64) {
        let Some(holes) = self.holes.filter(|_| look) else {
            return (false, end);
        };
        if at >= self.data_until && at >= self.hole_until {
            let data = holes.next_data(at);
            if data.saturating_sub(at) >= MIN_HOLE {
                self.hole_until = data;
            } else {
                self.data_until = holes.next_hole(data);
            }
        }
        if at < self.hole_until {
            let whole = self.hole_until.min(end) - start;
            let until = start + whole / self.block_size * self.block_size;
            if until > at {
                return (true, until);
            }
            // It ends in this block.
            self.data_until = holes.next_hole(self.hole_until);
        }
        let whole = (self.data_until.min(end) - start).next_multiple_of(self.block_size);
        (false, start + whole)
    }

    fn hash_data(&mut self, at: u64, until: u64, digests: &mut [u8]) -> Result<(), ReadError> {
        let size = usize::try_from(until - at).unwrap_or(usize::MAX);
        let there = usize::try_from(self.end.min(until) - at).unwrap_or(size);
        let blocks = self.buffer.as_mut_slice();
        let blocks = &mut blocks[..size];
        let (data, padding) = blocks.split_at_mut(there);
        read_exact_at(self.file, data, at)?;
        padding.fill(0);
        self.hasher.hash(blocks, digests);
        Ok(())
    }
}
