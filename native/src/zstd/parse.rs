//! Finding repeated bytes for Zstandard: matches of 4 bytes and more from anywhere in the cluster, and shorter ones at offsets
//! that were just used.

use super::sequences::Sequence;
use crate::repeats::common;

const MIN_MATCH: usize = 4;
const MIN_REPEATED_MATCH: usize = 3;
const HASH_BITS: u32 = 17;
/// The longest match there is a code for is longer than a block.
pub const MAX_BLOCK: usize = 1 << 17;

/// How hard is searched.
pub struct Effort {
    /// Candidates looked at for each position.
    depth: u32,
    /// A match this long is taken without looking for a longer one.
    nice: usize,
    /// How many positions later a better match may begin.
    lazy: usize,
}

impl Effort {
    /// Levels 1 to 15.
    pub fn of_level(level: u32) -> Option<Self> {
        const DEPTHS: [u32; 15] = [2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 2048];
        let depth = *DEPTHS.get(level.checked_sub(1)? as usize)?;
        Some(Self {
            depth,
            nice: 8 * depth as usize + 16,
            lazy: match level {
                1..3 => 0,
                3..7 => 1,
                _ => 2,
            },
        })
    }
}

/// For each position the one before it whose next four bytes hash alike, or -1. The input has at most `i32::MAX` bytes.
pub fn previous_positions(input: &[u8]) -> Vec<i32> {
    let mut previous = vec![-1; input.len()];
    let mut last = vec![-1; 1 << HASH_BITS];
    let positions = (0_i32..).zip(input.windows(MIN_MATCH)).zip(&mut previous);
    for ((at, bytes), before) in positions {
        let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let hash = word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS);
        *before = std::mem::replace(&mut last[hash as usize], at);
    }
    previous
}

#[derive(Clone, Copy)]
struct Match {
    length: usize,
    offset: u32,
}

impl Match {
    const NONE: Self = Self {
        length: 0,
        offset: 0,
    };

    /// What it is worth, in quarters of a literal: its bytes less what its offset takes.
    fn worth(self, recent: &[u32; 3]) -> i64 {
        if self.length == 0 {
            return 0;
        }
        let cost = if recent.contains(&self.offset) {
            1
        } else {
            3 + (self.offset + 3).ilog2()
        };
        4 * self.length as i64 - i64::from(cost)
    }
}

/// The part of an input that a block is made of.
pub struct Parser<'a> {
    pub input: &'a [u8],
    pub previous: &'a [i32],
    pub effort: &'a Effort,
    /// Where the cluster starts: nothing before it may be referred to.
    pub start: usize,
}

impl Parser<'_> {
    /// The most worthwhile match at a position, which begins at the cluster's start or later and ends before `end`.
    fn find(&self, at: usize, end: usize, recent: &[u32; 3]) -> Match {
        let Self { input, effort, .. } = self;
        let limit = end.saturating_sub(at);
        let mut best = Match::NONE;
        if limit < MIN_REPEATED_MATCH {
            return best;
        }
        for offset in *recent {
            if offset as usize > at - self.start {
                continue;
            }
            let length = common(input, at - offset as usize, at, limit);
            if length >= MIN_REPEATED_MATCH && length > best.length {
                best = Match { length, offset };
            }
        }
        if best.length >= effort.nice || limit < MIN_MATCH {
            return best;
        }
        let mut longest = MIN_MATCH - 1;
        let mut candidate = self.previous[at];
        for _ in 0..effort.depth {
            let Some(from) = usize::try_from(candidate)
                .ok()
                .filter(|from| *from >= self.start)
            else {
                break;
            };
            if input[from + longest] == input[at + longest] {
                let length = common(input, from, at, limit);
                if length > longest {
                    longest = length;
                    // Both positions are 32-bit.
                    let found = Match {
                        length,
                        offset: (at - from) as u32,
                    };
                    if found.worth(recent) > best.worth(recent) {
                        best = found;
                    }
                    if length >= effort.nice || length == limit {
                        break;
                    }
                }
            }
            candidate = self.previous[from];
        }
        best
    }

    /// Cuts `[from, to)` into literals and matches, with where in the input each match ends. `recent` are the offsets that
    /// were used last, and become those after this block.
    pub fn parse(
        &self,
        from: usize,
        to: usize,
        recent: &mut [u32; 3],
        sequences: &mut Vec<Sequence>,
        ends: &mut Vec<usize>,
    ) {
        sequences.clear();
        ends.clear();
        let effort = self.effort;
        let mut anchor = from;
        let mut at = from;
        while at < to {
            let mut found = self.find(at, to, recent);
            if found.length == 0 {
                // Where nothing repeats for long, fewer positions are tried.
                at += 1 + ((at - anchor) >> 8);
                continue;
            }
            let mut ahead = 1;
            while ahead <= effort.lazy && found.length < effort.nice {
                let later = self.find(at + ahead, to, recent);
                // Each literal in between costs about as much as a literal is worth.
                if later.worth(recent) > found.worth(recent) + 4 * ahead as i64 {
                    at += ahead;
                    found = later;
                    ahead = 1;
                } else {
                    ahead += 1;
                }
            }
            let literals = at - anchor;
            sequences.push(Sequence {
                literals: literals as u32,
                offset_value: use_offset(recent, found.offset, literals == 0),
                length: found.length as u32,
            });
            at += found.length;
            anchor = at;
            ends.push(at);
        }
    }
}

/// The value that stands for an offset, which becomes the most recent (RFC 8878, 3.1.1.5).
fn use_offset(recent: &mut [u32; 3], offset: u32, behind_match: bool) -> u32 {
    let [first, second, third] = *recent;
    if !behind_match && offset == first {
        return 1;
    }
    let shift = u32::from(!behind_match);
    if offset == second {
        *recent = [second, first, third];
        return 1 + shift;
    }
    *recent = [offset, first, second];
    if offset == third {
        2 + shift
    } else if behind_match && offset == first - 1 {
        3
    } else {
        offset + 3
    }
}
