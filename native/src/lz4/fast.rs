//! Blocks of the most input that fits, in a hurry: the first match that is found is taken.

use super::block::{BlockWriter, LAST_LITERALS, LAST_MATCH, MIN_MATCH};
use super::chains::{common_length, long_at, word_at, HASH_FACTOR};

const HASH_BITS: u32 = 12;
const MAX_DISTANCE: u32 = (1 << 16) - 1;
/// After so many misses (as a power of two), every second position is searched, after twice as many every third.
const PATIENCE: u32 = 6;
/// For the fifth byte.
const SECOND_FACTOR: u32 = 2_246_822_519;

/// The latest position of each hash of five bytes, for one input after the other, as `Chains` has them.
pub struct Latest {
    /// Plus `base`.
    heads: Box<[u32; 1 << HASH_BITS]>,
    base: u32,
    length: u32,
}

impl Latest {
    pub fn new() -> Self {
        Self {
            heads: Box::new([0; 1 << HASH_BITS]),
            base: 0,
            length: 0,
        }
    }

    /// Goes on to another input.
    pub fn begin(&mut self, input: &[u8]) {
        let used = u64::from(self.base) + u64::from(self.length) + u64::from(MAX_DISTANCE) + 1;
        if used + input.len() as u64 > u64::from(u32::MAX) {
            self.heads.fill(0);
            self.base = MAX_DISTANCE + 1;
        } else {
            self.base = used as u32;
        }
        self.length = input.len() as u32;
    }

    /// Enters a position, and returns how far back the one before was.
    #[inline(always)]
    fn enter(&mut self, input: &[u8], at: usize) -> u32 {
        let bytes = long_at(input, at);
        let hash = (bytes as u32)
            .wrapping_mul(HASH_FACTOR)
            .wrapping_add(u32::from((bytes >> 32) as u8).wrapping_mul(SECOND_FACTOR))
            >> (u32::BITS - HASH_BITS);
        let here = self.base.wrapping_add(at as u32);
        here.wrapping_sub(std::mem::replace(&mut self.heads[hash as usize], here))
    }
}

/// Fills one block with input from `start` on and returns where that ends: at `end` or before.
pub fn fill_block(
    latest: &mut Latest,
    input: &[u8],
    (start, end): (usize, usize),
    mut writer: BlockWriter,
) -> usize {
    if end - start <= LAST_MATCH {
        return writer.finish(end);
    }
    let last = end - LAST_MATCH;
    let limit = end - LAST_LITERALS;
    let mut at = start;
    let mut misses: usize = 1 << PATIENCE;
    while at <= last {
        // What a block before entered may be ahead: further back than any distance, counted so.
        let distance = latest.enter(input, at);
        let from = at.wrapping_sub(distance as usize);
        let is_near = distance.wrapping_sub(1) < MAX_DISTANCE && distance as usize <= at - start;
        if !is_near || word_at(input, from) != word_at(input, at) {
            at += misses >> PATIENCE;
            misses += 1;
            if writer.is_filled_by(at - writer.anchor()) {
                break;
            }
            continue;
        }
        let distance = distance as usize;
        let stop = at + MIN_MATCH + common_length(input, from + MIN_MATCH, at + MIN_MATCH, limit);
        let first = writer.anchor().max(start + distance);
        while at > first && input[at - 1] == input[at - 1 - distance] {
            at -= 1;
        }
        if !writer.push(at, stop - at, distance) {
            break;
        }
        at = stop;
        misses = 1 << PATIENCE;
        if at <= last {
            latest.enter(input, at - 2);
        }
    }
    writer.finish(end)
}
