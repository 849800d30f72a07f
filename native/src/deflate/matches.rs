//! Finding repeated bytes: the LZ77 half of DEFLATE. The chains of positions with equal beginnings are made once for a whole
//! input; what a cluster may refer to is then a matter of where it starts.

use crate::repeats::common;

const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;
const MAX_DISTANCE: usize = 32768;
const HASH_BITS: u32 = 16;

/// How hard is searched.
pub struct Effort {
    /// Candidates looked at for each position.
    depth: u32,
    /// A match this long is taken without looking for a longer one.
    nice: usize,
    /// A match shorter than this is given up when the next position has a longer one; 0 never.
    pub lazy: u32,
}

impl Effort {
    /// Levels 1 to 9.
    pub fn of_level(level: u32) -> Option<Self> {
        let (depth, nice, lazy) = match level {
            1 => (4, 8, 0),
            2 => (6, 16, 0),
            3 => (12, 32, 4),
            4 => (16, 32, 8),
            5 => (32, 64, 16),
            6 => (64, 128, 32),
            7 => (128, 258, 64),
            8 => (512, 258, 128),
            9 => (2048, 258, 258),
            _ => return None,
        };
        Some(Self { depth, nice, lazy })
    }
}

/// For each position the one before it whose next three bytes hash alike, or -1. The input has at most `i32::MAX` bytes.
pub fn previous_positions(input: &[u8]) -> Vec<i32> {
    let mut previous = vec![-1; input.len()];
    let mut last = vec![-1; 1 << HASH_BITS];
    let positions = (0_i32..).zip(input.windows(MIN_MATCH)).zip(&mut previous);
    for ((at, bytes), before) in positions {
        let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
        let hash = word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS);
        *before = std::mem::replace(&mut last[hash as usize], at);
    }
    previous
}

/// The longest match at a position, which begins at `start` or later and ends at `end` at the latest: `distance << 9 |
/// length`, or 0 when there is none. Of equally long ones the nearest.
pub fn longest_match(
    input: &[u8],
    previous: &[i32],
    at: usize,
    start: usize,
    end: usize,
    effort: &Effort,
) -> u32 {
    let limit = MAX_MATCH.min(end.saturating_sub(at));
    if limit < MIN_MATCH {
        return 0;
    }
    let lowest = start.max(at.saturating_sub(MAX_DISTANCE));
    let mut best = MIN_MATCH - 1;
    let mut distance = 0;
    let mut candidate = previous[at];
    for _ in 0..effort.depth {
        let Ok(from) = usize::try_from(candidate) else {
            break;
        };
        if from < lowest {
            break;
        }
        if input[from + best] == input[at + best] {
            let length = common(input, from, at, limit);
            if length > best {
                best = length;
                distance = at - from;
                if length >= effort.nice || length == limit {
                    break;
                }
            }
        }
        candidate = previous[from];
    }
    // At most 32768 and 258.
    if distance == 0 {
        0
    } else {
        ((distance << 9) | best) as u32
    }
}
