//! Places inodes in the metadata area, as `src/formats/erofs/metadata-allocator.ts` explains.

use super::encode::SLOT_SIZE;
use std::collections::BTreeMap;

/// How many gaps are remembered where blocks are forgotten.
pub const OPEN_BLOCKS: usize = 64;

pub struct Allocator {
    block_size: u64,
    /// How many gaps are remembered.
    open_blocks: usize,
    /// Where gaps within blocks are, by how many bytes are free and by age.
    gaps: BTreeMap<(u64, u64), u64>,
    ages: u64,
    end: u64,
}

impl Allocator {
    pub fn new(block_size: u64, start: u64, open_blocks: usize) -> Self {
        Self {
            block_size,
            open_blocks,
            gaps: BTreeMap::new(),
            ages: 0,
            end: start.next_multiple_of(SLOT_SIZE),
        }
    }

    /// A place for so many bytes, which stay within a block if they fit one. The smallest gap that is large enough, the oldest
    /// of equal ones.
    pub fn place(&mut self, size: u64) -> u64 {
        let need = size.next_multiple_of(SLOT_SIZE);
        let best = self.gaps.range((need, 0)..).next();
        if let Some((&(room, age), &offset)) = best {
            self.gaps.remove(&(room, age));
            if room > need {
                self.gaps.insert((room - need, age), offset + need);
            }
            return offset;
        }
        let left = self.end.next_multiple_of(self.block_size) - self.end;
        if need > left {
            self.remember(self.end, left);
            self.end += left;
        }
        let offset = self.end;
        self.end += need;
        offset
    }

    /// A place for what does not fit a block together: the inline data is within a block, which the inode may be before.
    pub fn place_across(&mut self, head: u64, tail: u64) -> u64 {
        // The head ends as soon behind the start of a block as inodes can.
        let before = head - head % SLOT_SIZE;
        let offset = (self.end + before).next_multiple_of(self.block_size) - before;
        let mut gap = self.end;
        while gap < offset {
            let next = (gap + 1).next_multiple_of(self.block_size);
            self.remember(gap, offset.min(next) - gap);
            gap = next;
        }
        self.end = offset + (head + tail).next_multiple_of(SLOT_SIZE);
        offset
    }

    fn remember(&mut self, offset: u64, room: u64) {
        if room == 0 {
            return;
        }
        self.ages += 1;
        self.gaps.insert((room, self.ages), offset);
        if self.gaps.len() > self.open_blocks {
            let oldest = self.gaps.keys().copied().min_by_key(|&(_, age)| age);
            if let Some(oldest) = oldest {
                self.gaps.remove(&oldest);
            }
        }
    }

    /// The size of the area so far, in blocks.
    pub fn blocks(&self) -> u64 {
        self.end.div_ceil(self.block_size)
    }
}
