//! Where the data of a file is, extent by extent: the twin of `src/formats/erofs/extent-list.ts`.

/// Compressed, or plain, data of consecutive bytes of a file.
#[derive(Clone, Copy)]
pub struct StoredExtent {
    /// In the file, in bytes.
    pub length: u32,
    pub is_plain: bool,
    /// In the image.
    pub blocks: u32,
    pub first_block: u32,
}

#[derive(Default)]
pub struct ExtentList {
    extents: Vec<StoredExtent>,
    /// Of all extents.
    pub blocks: u32,
    /// Whether one is compressed.
    has_compressed: bool,
    next_block: u32,
}

impl ExtentList {
    /// Forgets all extents; the next one is at this block.
    pub fn restart(&mut self, first_block: u32) {
        self.extents.clear();
        self.blocks = 0;
        self.has_compressed = false;
        self.next_block = first_block;
    }

    /// The number of blocks was checked before.
    pub fn add(&mut self, length: u32, blocks: u32, is_plain: bool) {
        self.extents.push(StoredExtent {
            length,
            is_plain,
            blocks,
            first_block: self.next_block,
        });
        self.blocks = self.blocks.wrapping_add(blocks);
        self.next_block = self.next_block.wrapping_add(blocks);
        self.has_compressed |= !is_plain;
    }

    /// Whether none is compressed.
    pub fn is_plain(&self) -> bool {
        !self.has_compressed
    }
    /// Of the first extent, or where it would be.
    pub fn first_block(&self) -> u32 {
        self.extents
            .first()
            .map_or(self.next_block, |extent| extent.first_block)
    }
    pub fn iter(&self) -> impl Iterator<Item = &StoredExtent> {
        self.extents.iter()
    }
}
