//! Places inodes in the metadata area, as `src/formats/erofs/metadata-allocator.ts` explains.

use super::encode::SLOT_SIZE;
use std::collections::VecDeque;

/// How many gaps are remembered.
const OPEN_BLOCKS: usize = 64;

/// Within a block.
struct Gap {
    offset: u64,
    room: u64,
}

pub struct Allocator {
    block_size: u64,
    /// Oldest first.
    open: VecDeque<Gap>,
    end: u64,
}

impl Allocator {
    pub fn new(block_size: u64, start: u64) -> Self {
        Self {
            block_size,
            open: VecDeque::with_capacity(OPEN_BLOCKS + 1),
            end: start.next_multiple_of(SLOT_SIZE),
        }
    }

    /// A place for so many bytes, which fit a block. The smallest gap that is large enough, the oldest of equal ones.
    pub fn place(&mut self, size: u64) -> u64 {
        let need = size.next_multiple_of(SLOT_SIZE);
        let best = self
            .open
            .iter_mut()
            .enumerate()
            .filter(|(_, gap)| gap.room >= need)
            .min_by_key(|(_, gap)| gap.room);
        if let Some((index, gap)) = best {
            let offset = gap.offset;
            gap.offset += need;
            gap.room -= need;
            if gap.room == 0 {
                self.open.remove(index);
            }
            return offset;
        }
        let left = self.end.next_multiple_of(self.block_size) - self.end;
        if need > left {
            if left > 0 {
                self.open.push_back(Gap {
                    offset: self.end,
                    room: left,
                });
            }
            if self.open.len() > OPEN_BLOCKS {
                self.open.pop_front();
            }
            self.end += left;
        }
        let offset = self.end;
        self.end += need;
        offset
    }

    /// The size of the area so far, in blocks.
    pub fn blocks(&self) -> u64 {
        self.end.div_ceil(self.block_size)
    }
}
