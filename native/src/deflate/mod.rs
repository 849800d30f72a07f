//! DEFLATE into clusters of a fixed size: of each cluster the most input that fits, as one block. The twin is
//! `src/compression/deflate/`, which gives the same bytes.

mod block;
mod matches;

use crate::clusters::ClusterEncoder;
use block::{choose_codes, encode_block, BlockCodes, Statistics};
use matches::{longest_match, previous_positions, Effort};

pub struct DeflateEncoder {
    previous: Vec<i32>,
    effort: Effort,
    /// How many tokens the last cluster took: the next one is first tried with as many.
    usual: usize,
    tokens: Vec<u32>,
}

/// The first tokens of a cluster that are known to fit.
struct Fitting {
    count: usize,
    statistics: Statistics,
    codes: Option<BlockCodes>,
}

impl DeflateEncoder {
    /// `None` when the level is not 1 to 9, or the input is too long for 32-bit positions.
    pub fn new(input: &[u8], level: u32) -> Option<Self> {
        i32::try_from(input.len()).ok()?;
        Some(Self {
            previous: previous_positions(input),
            effort: Effort::of_level(level)?,
            usual: 1024,
            tokens: Vec::new(),
        })
    }
}

impl ClusterEncoder for DeflateEncoder {
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
            usual,
            tokens,
        } = self;
        let find = |at: usize| longest_match(input, previous, at, start, end, effort);
        tokens.clear();
        let mut length = 0;
        let mut pending = find(start);

        // More and more tokens, until they do not fit or the input ends.
        let mut fitting = Fitting {
            count: 0,
            statistics: Statistics::new(),
            codes: None,
        };
        let mut overflow = None;
        let mut want = *usual;
        while overflow.is_none() {
            while tokens.len() < want && start + length < end {
                let at = start + length;
                let found = pending & 0x1ff;
                if found > 0 && found < effort.lazy {
                    let later = find(at + 1);
                    if later & 0x1ff > found {
                        tokens.push(u32::from(input[at]));
                        length += 1;
                        pending = later;
                        continue;
                    }
                }
                tokens.push(if found > 0 {
                    pending
                } else {
                    u32::from(input[at])
                });
                length += found.max(1) as usize;
                pending = find(start + length);
            }
            if tokens.len() == fitting.count {
                break;
            }
            overflow = fitting.try_with(tokens, tokens.len(), capacity);
            want += (want >> 4).max(32);
        }
        // The most that fits is somewhere between.
        while let Some(too_many) = overflow.filter(|too_many| too_many - fitting.count > 1) {
            let count = usize::midpoint(fitting.count, too_many);
            overflow = fitting.try_with(tokens, count, capacity).or(overflow);
        }
        let Some(codes) = &fitting.codes else {
            return 0;
        };
        *usual = fitting.count;
        let chosen = &tokens[..fitting.count];
        encode_block(chosen, codes, out);
        chosen
            .iter()
            .map(|token| {
                if *token < 512 {
                    1
                } else {
                    (token & 0x1ff) as usize
                }
            })
            .sum()
    }
}

impl Fitting {
    /// Takes `count` tokens if they fit, else returns that count.
    fn try_with(&mut self, tokens: &[u32], count: usize, capacity: usize) -> Option<usize> {
        let mut statistics = self.statistics.clone();
        for token in &tokens[self.count..count] {
            statistics.add(*token);
        }
        let codes = choose_codes(&statistics);
        if codes.bits > capacity as u64 * 8 {
            return Some(count);
        }
        *self = Self {
            count,
            statistics,
            codes: Some(codes),
        };
        None
    }
}
