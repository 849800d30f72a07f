//! Writing a block (lz4_Block_format.md) that may take no more than so many bytes.

/// Every match has so many bytes; its token holds what it has beyond them.
pub const MIN_MATCH: usize = 4;
/// No match begins in the last 12 bytes of a block...
pub const LAST_MATCH: usize = 12;
/// ...and its last 5 bytes are literals.
pub const LAST_LITERALS: usize = 5;
/// Matches up to this length say it in their token.
pub const SHORT_MATCH: usize = 18;

/// What a copy of a few literals may write beyond them.
const SLACK: usize = 16;

/// Bytes that a match's length takes beside the token.
#[inline(always)]
pub const fn match_bytes(length: usize) -> usize {
    if length <= SHORT_MATCH {
        0
    } else {
        (length - SHORT_MATCH - 1) / 255 + 1
    }
}

/// Bytes that a number of literals takes beside the token.
#[inline(always)]
const fn count_bytes(literals: usize) -> usize {
    if literals < 15 {
        0
    } else {
        (literals - 15) / 255 + 1
    }
}

/// How many literals fit with their number in so many bytes.
const fn fitting_literals(room: usize) -> usize {
    match room {
        0..=14 => room,
        15 => 14,
        _ => room - 1 - (room - 15) / 256,
    }
}

/// A block: sequences go in as long as they fit, literals fill the rest.
pub struct BlockWriter<'a> {
    input: &'a [u8],
    out: &'a mut Vec<u8>,
    /// Where in `out` the next byte goes, and how many may still follow.
    at: usize,
    left: usize,
    /// Where the next literals begin.
    anchor: usize,
}

impl<'a> BlockWriter<'a> {
    /// Of the input from `start` on, behind what `out` holds.
    pub fn new(input: &'a [u8], start: usize, capacity: usize, out: &'a mut Vec<u8>) -> Self {
        let at = out.len();
        out.resize(at + capacity + SLACK, 0);
        Self {
            input,
            out,
            at,
            left: capacity,
            anchor: start,
        }
    }

    #[inline(always)]
    pub fn anchor(&self) -> usize {
        self.anchor
    }

    /// Whether so many literals alone fill the block.
    #[inline(always)]
    pub fn is_filled_by(&self, literals: usize) -> bool {
        literals >= self.left
    }

    /// Adds the literals from the anchor to `start` and a match there. Returns whether there may be room for more: what does
    /// not fit is left out, a long match is cut.
    #[inline(always)]
    pub fn push(&mut self, start: usize, length: usize, distance: usize) -> bool {
        let literals = start - self.anchor;
        let head = 1 + count_bytes(literals) + literals + 2;
        // Behind it comes at least a token with the last literals.
        let Some(room) = self.left.checked_sub(head + 1 + LAST_LITERALS) else {
            return false;
        };
        let cut = length.min(SHORT_MATCH.saturating_add(room.saturating_mul(255)));
        if cut + room + LAST_LITERALS < LAST_MATCH {
            return false;
        }
        self.literals(literals, cut - MIN_MATCH);
        self.bytes([distance as u8, (distance >> 8) as u8]);
        self.more(cut - MIN_MATCH);
        self.left -= head + match_bytes(cut);
        self.anchor = start + cut;
        cut == length
    }

    /// Fills the block with literals and returns where in the input it ends: at `end` or before.
    pub fn finish(mut self, end: usize) -> usize {
        let literals = fitting_literals(self.left - 1).min(end - self.anchor);
        self.literals(literals, 0);
        self.out.truncate(self.at);
        self.anchor + literals
    }

    /// A token with its literals.
    #[inline(always)]
    fn literals(&mut self, count: usize, match_nibble: usize) {
        self.bytes([(count.min(15) << 4 | match_nibble.min(15)) as u8]);
        self.more(count);
        let (from, to) = (self.anchor, self.at);
        let short = (
            self.input.get(from..from + SLACK),
            self.out.get_mut(to..to + SLACK),
        );
        match short {
            // Most are few: a copy of fixed size costs less than one of the right size.
            (Some(source), Some(target)) if count <= SLACK => target.copy_from_slice(source),
            _ => self.out[to..to + count].copy_from_slice(&self.input[from..from + count]),
        }
        self.at += count;
    }

    /// What a length has beyond the 15 of its nibble.
    #[inline(always)]
    fn more(&mut self, length: usize) {
        if length >= 15 {
            let mut rest = length - 15;
            while rest >= 255 {
                self.bytes([255]);
                rest -= 255;
            }
            self.bytes([rest as u8]);
        }
    }

    #[inline(always)]
    fn bytes<const N: usize>(&mut self, bytes: [u8; N]) {
        self.out[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
    }
}

#[cfg(test)]
mod tests {
    use super::{count_bytes, fitting_literals};

    #[test]
    fn as_many_literals_fit_as_there_is_room_for() {
        for room in 0..2000 {
            let fitting = fitting_literals(room);
            assert!(fitting + count_bytes(fitting) <= room);
            assert!(fitting + 1 + count_bytes(fitting + 1) > room);
        }
    }
}
