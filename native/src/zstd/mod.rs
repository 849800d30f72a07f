//! Zstandard (RFC 8878) into clusters of a fixed size: each cluster is a frame of its own, filled with the most input that
//! fits. The twin is `src/compression/zstd/`, which gives the same bytes.

mod fse;
mod literals;
mod parse;
mod sequences;

use crate::clusters::ClusterEncoder;
use literals::encode_literals;
use parse::{previous_positions, Effort, Parser, MAX_BLOCK};
use sequences::{encode_sequences, Sequence, StandardTables};

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// The magic, and a header with a size of 4 bytes.
const MAX_FRAME_HEADER: usize = 9;
const BLOCK_HEADER: usize = 3;
const RAW_BLOCK: usize = 0;
const COMPRESSED_BLOCK: usize = 2;
/// No part of a block smaller than this is tried in its own right.
const FINEST_CUT: usize = 16;

pub struct ZstdEncoder {
    previous: Vec<i32>,
    effort: Effort,
    standard: StandardTables,
    /// What the last cluster took: not much more is looked at for the next one.
    usual: usize,
    blocks: Blocks,
}

/// Memory for the parts of a block.
#[derive(Default)]
struct Blocks {
    sequences: Vec<Sequence>,
    ends: Vec<usize>,
    literals: Vec<u8>,
    bytes: Vec<u8>,
}

impl ZstdEncoder {
    /// `None` when the level is not 1 to 15, or the input is too long for 32-bit positions.
    pub fn new(input: &[u8], level: u32) -> Option<Self> {
        i32::try_from(input.len()).ok()?;
        Some(Self {
            previous: previous_positions(input),
            effort: Effort::of_level(level)?,
            standard: StandardTables::new(),
            usual: 1 << 14,
            blocks: Blocks::default(),
        })
    }
}

impl ClusterEncoder for ZstdEncoder {
    fn encode(
        &mut self,
        input: &[u8],
        start: usize,
        end: usize,
        capacity: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let Self {
            previous,
            effort,
            standard,
            usual,
            blocks,
        } = self;
        let parser = Parser {
            input,
            previous,
            effort,
            start,
        };
        let frame = out.len();
        let mut last = None;
        let mut left = capacity.saturating_sub(MAX_FRAME_HEADER);
        let mut at = start;
        let mut recent = [1, 4, 8];
        while at < end && left > BLOCK_HEADER {
            let size = MAX_BLOCK.min((*usual + (*usual >> 1)).max(4096));
            let to = end.min(at + size);
            parser.parse(at, to, &mut recent, &mut blocks.sequences, &mut blocks.ends);
            let block = out.len();
            blocks.encode(input, at, to, standard);
            if blocks.bytes.len() <= left {
                out.extend_from_slice(&blocks.bytes);
                last = Some(block);
                left -= blocks.bytes.len();
                at = to;
                continue;
            }
            // The longest beginning of the block that fits, or nearly so.
            let (mut low, mut high) = (at, to);
            while high - low > FINEST_CUT {
                let middle = usize::midpoint(low, high);
                blocks.encode(input, at, middle, standard);
                if blocks.bytes.len() <= left {
                    out.truncate(block);
                    out.extend_from_slice(&blocks.bytes);
                    last = Some(block);
                    low = middle;
                } else {
                    high = middle;
                }
            }
            at = low;
            break;
        }
        let Some(last) = last else {
            return 0;
        };
        out[last] |= 1;
        let consumed = at - start;
        *usual = consumed;
        let header = frame_header(consumed);
        out.splice(frame..frame, header);
        consumed
    }
}

/// The header of a frame that is decoded into one buffer of its size.
fn frame_header(size: usize) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    let single = 1 << 5;
    match size {
        0..256 => header.extend([single, size as u8]),
        256..65792 => {
            header.push(single | (1 << 6));
            header.extend(((size - 256) as u16).to_le_bytes());
        }
        _ => {
            header.push(single | (2 << 6));
            header.extend((size as u32).to_le_bytes());
        }
    }
    header
}

impl Blocks {
    /// Makes `bytes` the block for `[from, to)`, which may end within a match: what is left of that are literals. The block
    /// is not the last; its lowest bit says so.
    fn encode(&mut self, input: &[u8], from: usize, to: usize, standard: &StandardTables) {
        let used = &self.sequences[..self.ends.partition_point(|end| *end <= to)];
        self.literals.clear();
        let mut at = from;
        for sequence in used {
            let match_start = at + sequence.literals as usize;
            self.literals.extend_from_slice(&input[at..match_start]);
            at = match_start + sequence.length as usize;
        }
        self.literals.extend_from_slice(&input[at..to]);
        self.bytes.clear();
        self.bytes.resize(BLOCK_HEADER, 0);
        encode_literals(&self.literals, &mut self.bytes);
        encode_sequences(used, standard, &mut self.bytes);
        let mut kind = COMPRESSED_BLOCK;
        if self.bytes.len() - BLOCK_HEADER >= to - from {
            kind = RAW_BLOCK;
            self.bytes.truncate(BLOCK_HEADER);
            self.bytes.extend_from_slice(&input[from..to]);
        }
        let word = (kind << 1) | ((self.bytes.len() - BLOCK_HEADER) << 3);
        self.bytes[..BLOCK_HEADER].copy_from_slice(&word.to_le_bytes()[..BLOCK_HEADER]);
    }
}
