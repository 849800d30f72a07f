//! LZ4 blocks (lz4_Block_format.md). The twin is `src/compression/lz4`: it gives the same bytes.

mod block;
mod chains;
mod decode;
mod fast;
mod high;

pub use decode::decode_block;

use crate::clusters::ClusterEncoder;
use block::BlockWriter;
use chains::{Chains, Effort};
use fast::Latest;

/// What one block may decode to: 255 times what an encoded block of 4096 bytes takes fits, and nothing reads a part of a
/// block by decoding much more than this.
const MAX_BLOCK_LENGTH: usize = 254 * 4096;

/// Candidates that are looked at for each match, by level from 1 on.
const DEPTHS: [u32; 12] = [2, 3, 5, 9, 12, 20, 32, 40, 48, 128, 256, 1024];
/// A match of this length is good enough, and what stands within it is not searched.
const ENOUGH: usize = 256;
const ENOUGH_AT_LAST: usize = 4096;

/// Compresses one input after the other into blocks that stand on their own.
pub struct Lz4Encoder(Search);

enum Search {
    Fast(Latest),
    High(Chains, Effort),
}

impl Lz4Encoder {
    /// At a level of LZ4 HC from 1 to 12, or for 0 with plain LZ4; `None` if there is no such level.
    pub fn new(level: u32) -> Option<Self> {
        if level == 0 {
            return Some(Self(Search::Fast(Latest::new())));
        }
        let depth = *DEPTHS.get(level as usize - 1)?;
        let enough = if level < 10 { ENOUGH } else { ENOUGH_AT_LAST };
        Some(Self(Search::High(Chains::new(), Effort { depth, enough })))
    }

    /// Goes on to another input, of which all following blocks are: it must be given to each of them. It is shorter than
    /// 2^31 bytes.
    pub fn begin(&mut self, input: &[u8]) {
        match &mut self.0 {
            Search::Fast(latest) => latest.begin(input),
            Search::High(chains, _) => chains.begin(input),
        }
    }
}

impl ClusterEncoder for Lz4Encoder {
    fn encode(
        &mut self,
        input: &[u8],
        start: usize,
        end: usize,
        capacity: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let range = (start, end.min(start + MAX_BLOCK_LENGTH));
        let writer = BlockWriter::new(input, start, capacity, out);
        let stop = match &mut self.0 {
            Search::Fast(latest) => fast::fill_block(latest, input, range, writer),
            Search::High(chains, effort) => high::fill_block(chains, input, range, *effort, writer),
        };
        stop - start
    }
}
