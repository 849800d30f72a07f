//! Reed-Solomon parity as dm-verity's forward error correction has it.
//!
//! The protected bytes are a matrix of `255 - roots` rows; each column is the message of a codeword of 255 bytes, whose
//! last `roots` bytes are its parity. Columns are independent and a row is contiguous, so a vector instruction works on
//! as many codewords as it has bytes.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod engine;
pub mod galois;
#[cfg(target_arch = "x86_64")]
mod gfni;
mod kernels;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod rows;
#[cfg(target_arch = "x86_64")]
mod ssse3;

pub use engine::Engine;
pub use rows::{FileRows, MemoryRows, Part, Rows};

use crate::file::{PageBuffer, ReadError};
use crate::threads;
use engine::Code;
use std::ops::RangeInclusive;

pub const CODEWORD: usize = 255;

/// As many as dm-verity takes.
pub const ROOTS: RangeInclusive<usize> = 2..=24;

const MAX_ROOTS: usize = *ROOTS.end();

/// What the rows of a tile and its parity may take together, to stay in the processor's second cache.
const CACHE: usize = 640 << 10;
/// Rows that are read before they are added: their parity is loaded and stored once.
const GROUP: usize = 8;
/// A tile is not wider, or there would be none left for other threads, ...
const MAX_TILE: usize = 64 << 10;
/// ... nor narrower, or reading would be made of small calls.
const MIN_TILE: usize = 4 << 10;
/// Engines work on columns in steps of at most so many.
const STEP: usize = 128;

/// Lines of bytes of one length, each a little off a multiple of a page: the processor's first cache holds few lines with
/// the same offset in a page.
struct Lines {
    buffer: PageBuffer,
    stride: usize,
}

impl Lines {
    fn new(count: usize, width: usize) -> Self {
        let stride = width.next_multiple_of(STEP) + STEP;
        Self {
            buffer: PageBuffer::new(count * stride),
            stride,
        }
    }

    fn line(&self, index: usize) -> &[u8] {
        &self.buffer.as_slice()[index * self.stride..][..self.stride]
    }

    fn pair_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        self.buffer.as_mut_slice().split_at_mut(self.stride)
    }

    fn line_mut(&mut self, index: usize) -> &mut [u8] {
        let stride = self.stride;
        &mut self.buffer.as_mut_slice()[index * stride..][..stride]
    }
}

/// Writes the parity of `parity.len() / roots` columns: those of the first column, then those of the next.
///
/// # Panics
/// If `roots` is not in `ROOTS`.
pub fn encode(
    engine: Engine,
    threads: usize,
    roots: usize,
    rows: &impl Rows,
    parity: &mut [u8],
) -> Result<(), ReadError> {
    assert!(ROOTS.contains(&roots), "{roots} roots");
    let code = Code::new(roots);
    let columns = parity.len() / roots;
    let tile = tile_width(roots, columns, threads);
    threads::for_each(
        parity.chunks_mut(tile * roots),
        threads,
        || Tile {
            engine,
            code: &code,
            rows: Lines::new(GROUP, tile),
            parity: Lines::new(roots, tile),
        },
        |state, index, parity| state.encode(rows, index * tile, parity),
    )
}

fn tile_width(roots: usize, columns: usize, threads: usize) -> usize {
    let fits = CACHE / (GROUP + roots);
    let shared = columns.div_ceil(4 * threads.max(1));
    fits.min(shared)
        .clamp(MIN_TILE, MAX_TILE)
        .next_multiple_of(MIN_TILE)
}

/// What a thread works with.
struct Tile<'a> {
    engine: Engine,
    code: &'a Code,
    /// A group of rows.
    rows: Lines,
    /// One line for each byte of the parity, of all columns.
    parity: Lines,
}

impl Tile<'_> {
    fn encode(
        &mut self,
        source: &impl Rows,
        column: usize,
        out: &mut [u8],
    ) -> Result<(), ReadError> {
        let roots = self.code.roots();
        let width = out.len() / roots;
        for index in 0..roots {
            self.parity.line_mut(index).fill(0);
        }
        let count = CODEWORD - roots;
        for first in (0..count).step_by(GROUP) {
            let group = GROUP.min(count - first);
            for index in 0..group {
                let line = &mut self.rows.line_mut(index)[..width];
                source.read(first + index, column, line)?;
            }
            self.engine
                .add_rows(self.code, &self.rows, group, &mut self.parity, width);
        }
        self.engine.finish(self.code, &mut self.parity, width);
        interleave(&self.parity, out, roots);
        Ok(())
    }
}

/// From a line for each byte of the parity to the parity of each column.
fn interleave(lines: &Lines, out: &mut [u8], roots: usize) {
    // In blocks that stay in the first cache.
    for (block, out) in out.chunks_mut(STEP * roots).enumerate() {
        for index in 0..roots {
            let line = &lines.line(index)[block * STEP..];
            for (column, byte) in out.chunks_exact_mut(roots).zip(line) {
                column[index] = *byte;
            }
        }
    }
}
