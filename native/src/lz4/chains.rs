//! Where in an input the same four bytes stood before.

use super::block::MIN_MATCH;

const HASH_BITS: u32 = 16;
const WINDOW: usize = 1 << 16;
/// So many positions are entered at once, ahead of the search.
const AHEAD: usize = 128;
/// Older positions may have been overwritten.
const MAX_DISTANCE: usize = WINDOW - 1 - AHEAD;
/// This and all above stand for none: no position is as far from another.
const NONE: u16 = MAX_DISTANCE as u16 + 1;

/// Multiplicative hashing: 2^32 divided by the golden ratio.
pub const HASH_FACTOR: u32 = 2_654_435_761;

/// How hard is searched.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Candidates that are looked at.
    pub depth: u32,
    /// A match of this length is taken without looking for a better one.
    pub enough: usize,
}

/// A part of the input that stood before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Match {
    pub start: usize,
    pub end: usize,
    /// How far back; 0 if there is none.
    pub distance: usize,
}

/// What a search may use.
pub struct Limits {
    /// No match refers to what is before.
    pub start: usize,
    /// No match goes on behind.
    pub end: usize,
}

/// For each position the one before with the same hash, for one input after the other: what is left of the last input is
/// further away than any distance, so that nothing needs to be cleared.
pub struct Chains {
    /// Latest position of each hash, plus `base`.
    heads: Box<[u32; 1 << HASH_BITS]>,
    /// How far back the position before is; `NONE` or more if there is none.
    back: Box<[u16; WINDOW]>,
    base: u32,
    entered: usize,
    /// How many positions of the input can be entered.
    last: usize,
}

impl Chains {
    pub fn new() -> Self {
        Self {
            heads: Box::new([0; 1 << HASH_BITS]),
            back: Box::new([0; WINDOW]),
            base: 0,
            entered: 0,
            last: 0,
        }
    }

    /// Goes on to another input.
    pub fn begin(&mut self, input: &[u8]) {
        let base = u64::from(self.base) + (self.entered + WINDOW) as u64;
        if base + input.len() as u64 > u64::from(u32::MAX) {
            self.heads.fill(0);
            self.base = WINDOW as u32;
        } else {
            self.base = base as u32;
        }
        self.entered = 0;
        self.last = input.len().saturating_sub(size_of::<u64>());
    }

    /// Enters all positions up to this one, and some more.
    #[inline(always)]
    fn enter(&mut self, input: &[u8], at: usize) {
        if at >= self.entered {
            self.enter_up_to(input, self.last.min(at + AHEAD));
        }
    }

    #[inline(never)]
    fn enter_up_to(&mut self, input: &[u8], to: usize) {
        let mut distances = [0; AHEAD];
        let mut from = self.entered;
        while from < to {
            let count = AHEAD.min(to - from);
            let Some(part) = input.get(from..from + count + MIN_MATCH - 1) else {
                return;
            };
            let mut here = self.base.wrapping_add(from as u32);
            for (word, distance) in part.windows(MIN_MATCH).zip(&mut distances) {
                let word = u32::from_le_bytes(word.try_into().unwrap_or_default());
                let hash = word.wrapping_mul(HASH_FACTOR) >> (u32::BITS - HASH_BITS);
                let head = &mut self.heads[hash as usize];
                *distance = here.wrapping_sub(*head);
                *head = here;
                here = here.wrapping_add(1);
            }
            // All at once: one by one, the compiler makes it a branch, which no processor can foresee.
            let start = from % WINDOW;
            let (first, second) = distances[..count].split_at(count.min(WINDOW - start));
            let narrow = |back: &mut [u16], distances: &[u32]| {
                for (back, &distance) in back.iter_mut().zip(distances) {
                    *back = distance.min(u32::from(u16::MAX)) as u16;
                }
            };
            narrow(&mut self.back[start..], first);
            narrow(&mut self.back[..], second);
            from += count;
        }
        self.entered = to;
    }

    /// The candidate before `at`, of the chain that goes through `offset` bytes behind it.
    #[inline(always)]
    fn before(&self, at: usize, offset: usize, lowest: usize) -> Option<usize> {
        let distance = usize::from(self.back[at.wrapping_add(offset) % WINDOW]);
        // From no position is it as far as `NONE` to the lowest one.
        (at.wrapping_sub(lowest) >= distance).then(|| at.wrapping_sub(distance))
    }

    /// Whether a position has any candidate: often it has none, which is soon told.
    #[inline(always)]
    pub fn has_candidate(&mut self, input: &[u8], at: usize, limits: &Limits) -> bool {
        self.enter(input, at);
        let lowest = limits.start.max(at.saturating_sub(MAX_DISTANCE));
        self.before(at, 0, lowest).is_some()
    }

    /// The longest match at a position; `None` if none has four bytes. Of several the nearest.
    #[inline(always)]
    pub fn longest(
        &mut self,
        input: &[u8],
        at: usize,
        limits: &Limits,
        effort: Effort,
    ) -> Option<Match> {
        self.enter(input, at);
        let lowest = limits.start.max(at.saturating_sub(MAX_DISTANCE));
        let word = word_at(input, at);
        let mut last_word = word;
        let mut length = MIN_MATCH - 1;
        let mut distance = 0;
        let mut offset = 0;
        let mut from = at;
        for _ in 0..effort.depth {
            let Some(candidate) = self.before(from, offset, lowest) else {
                break;
            };
            from = candidate;
            // Longer than what there is: it has the bytes up to the next one.
            let end = from.wrapping_add(length - (MIN_MATCH - 1));
            if word_at(input, end) != last_word || word_at(input, from) != word {
                continue;
            }
            let common = common_length(input, from, at, limits.end);
            if common <= length {
                continue;
            }
            length = common;
            distance = at.wrapping_sub(from);
            if length >= effort.enough || at + length >= limits.end {
                break;
            }
            last_word = word_at(input, at + length - (MIN_MATCH - 1));
            // All better ones have the last four bytes of this one: if those are rarer, go by them.
            offset = 0;
            if distance >= length {
                let behind = length - MIN_MATCH;
                let own = self.back[from % WINDOW].min(NONE);
                let other = self.back[(from + behind) % WINDOW].min(NONE);
                if other > own {
                    offset = behind;
                }
            }
        }
        (distance > 0).then_some(Match {
            start: at,
            end: at + length,
            distance,
        })
    }

    /// The longest match that covers a position, begins behind `after` and ends behind `reach`.
    #[inline(always)]
    pub fn widest(
        &mut self,
        input: &[u8],
        at: usize,
        (after, reach): (usize, usize),
        limits: &Limits,
        effort: Effort,
    ) -> Option<Match> {
        self.enter(input, at);
        let lowest = limits.start.max(at.saturating_sub(MAX_DISTANCE));
        let word = word_at(input, at);
        let mut best = Match::default();
        let mut length = 0;
        // To be longer, a match must go on up to here at least, even if it begins as early as it may.
        let mut last = at;
        let mut last_word = word;
        let mut from = at;
        for _ in 0..effort.depth {
            let Some(candidate) = self.before(from, 0, lowest) else {
                break;
            };
            from = candidate;
            let end = from.wrapping_add(last - at);
            if word_at(input, end) != last_word || word_at(input, from) != word {
                continue;
            }
            let end = at + common_length(input, from, at, limits.end);
            if end <= reach {
                continue;
            }
            let distance = at - from;
            let first = (after + 1).max(limits.start + distance);
            let mut start = at;
            while start > first && input[start - 1] == input[start - 1 - distance] {
                start -= 1;
            }
            if end - start > length {
                length = end - start;
                last = at.max(after + 1 + length - (MIN_MATCH - 1));
                last_word = word_at(input, last);
                best = Match {
                    start,
                    end,
                    distance,
                };
                if end - at >= effort.enough || end >= limits.end {
                    break;
                }
            }
        }
        (best.distance > 0).then_some(best)
    }
}

/// The four bytes at a position; 0 behind the end, where nobody looks.
#[inline(always)]
pub fn word_at(input: &[u8], at: usize) -> u32 {
    input
        .get(at..at.wrapping_add(4))
        .and_then(|word| word.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

#[inline(always)]
pub fn long_at(input: &[u8], at: usize) -> u64 {
    input
        .get(at..at.wrapping_add(8))
        .and_then(|word| word.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// How many bytes are the same at two positions, the later one not going on behind `end`.
#[inline(always)]
pub fn common_length(input: &[u8], from: usize, at: usize, end: usize) -> usize {
    let mut length: usize = 0;
    while at.wrapping_add(length).wrapping_add(8) <= end {
        let here = at.wrapping_add(length);
        let different = long_at(input, from.wrapping_add(length)) ^ long_at(input, here);
        if different != 0 {
            return length.wrapping_add((different.trailing_zeros() / 8) as usize);
        }
        length = length.wrapping_add(8);
    }
    while at + length < end && input[from + length] == input[at + length] {
        length += 1;
    }
    length
}
