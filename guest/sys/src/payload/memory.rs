//! The libc's heap as Rust's allocator.

use super::bindings;
use core::alloc::{GlobalAlloc, Layout};

/// What `malloc` aligns to on every 64 bit target of ours.
const MALLOC_ALIGNMENT: usize = 16;

/// `malloc` and `free`, so that Rust and C code of one process share one heap.
pub struct LibcHeap;

// SAFETY: blocks come from the libc, which gives each out once, at least as large and as aligned as asked for; each is
// freed with `free`, which takes blocks of all three functions. No method unwinds.
unsafe impl GlobalAlloc for LibcHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGNMENT {
            // SAFETY: any size may be asked for.
            return unsafe { bindings::malloc(layout.size()) }.cast();
        }
        let Some(size) = layout.size().checked_next_multiple_of(layout.align()) else {
            return core::ptr::null_mut();
        };
        // SAFETY: the alignment is a power of two and the size a multiple of it.
        unsafe { bindings::aligned_alloc(layout.align(), size) }.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGNMENT {
            // SAFETY: any size may be asked for.
            return unsafe { bindings::calloc(1, layout.size()) }.cast();
        }
        // SAFETY: the caller's layout is passed on.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block is that large and nobody else knows it yet.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller got the block from this allocator.
        unsafe { bindings::free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGNMENT {
            // SAFETY: the caller got the block from this allocator; what `realloc` returns is aligned as by `malloc`.
            return unsafe { bindings::realloc(block.cast(), size) }.cast();
        }
        // SAFETY: `size` is not 0 and, rounded up to the alignment, not above `isize::MAX`: the caller's promise.
        let layout_after = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above.
        let moved = unsafe { self.alloc(layout_after) };
        if !moved.is_null() {
            // SAFETY: both blocks hold the smaller size and, being two blocks, do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(block, moved, layout.size().min(size)) };
            // SAFETY: the caller gave the old block up.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_zeroed_and_keep_their_bytes_when_they_move() {
        for align in [1, 8, 16, 64, 4096] {
            for size in [1, 15, 100, 5000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the layout is not empty.
                let block = unsafe { LibcHeap.alloc_zeroed(layout) };
                assert!(!block.is_null() && (block as usize).is_multiple_of(align));
                // SAFETY: the block is that large.
                let bytes = unsafe { core::slice::from_raw_parts_mut(block, size) };
                assert!(bytes.iter().all(|byte| *byte == 0));
                bytes.fill(0xa5);
                // SAFETY: the block is this allocator's, with this layout, and used no more.
                let moved = unsafe { LibcHeap.realloc(block, layout, size * 3) };
                assert!(!moved.is_null() && (moved as usize).is_multiple_of(align));
                // SAFETY: the block is larger than that, and that much of it was written.
                let bytes = unsafe { core::slice::from_raw_parts(moved, size) };
                assert!(bytes.iter().all(|byte| *byte == 0xa5));
                let layout = Layout::from_size_align(size * 3, align).unwrap();
                // SAFETY: the block is this allocator's, with this layout.
                unsafe { LibcHeap.dealloc(moved, layout) };
            }
        }
    }
}
