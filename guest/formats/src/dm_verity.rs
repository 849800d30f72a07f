//! The shape of a dm-verity hash tree (version 1): how large it must be for a given number of data blocks.
//!
//! The kernel's Documentation/admin-guide/device-mapper/verity.rst.

/// The only block size used here, for data and hashes.
pub const BLOCK_SIZE: u64 = 4096;

/// Bytes of all levels of the tree. One data block has no tree: its digest is the root.
///
/// `digest_size` is in bytes; each digest takes the next power of two of it.
#[must_use]
pub fn tree_size(data_blocks: u64, digest_size: usize) -> u64 {
    let digests_per_block = BLOCK_SIZE / (digest_size as u64).next_power_of_two();
    let mut blocks = data_blocks;
    let mut total = 0;
    while blocks > 1 {
        blocks = blocks.div_ceil(digests_per_block);
        total += blocks;
    }
    total * BLOCK_SIZE
}

/// A Reed-Solomon codeword has 255 bytes, of which `roots` are parity.
const CODEWORD_SIZE: u64 = 255;
pub const FEC_ROOTS: std::ops::RangeInclusive<u32> = 2..=24;

/// Bytes of the error correction of so many blocks, data and hash tree, interleaved over all of them; `None` when there is
/// no such code.
#[must_use]
pub fn fec_size(blocks: u64, roots: u32) -> Option<u64> {
    let roots = u64::from(Some(roots).filter(|roots| FEC_ROOTS.contains(roots))?);
    blocks
        .div_ceil(CODEWORD_SIZE - roots)
        .checked_mul(roots)?
        .checked_mul(BLOCK_SIZE)
}

/// The digests that the guest accepts, as dm-verity names them, with their size in bytes.
#[must_use]
pub fn digest_size(algorithm: &str) -> Option<usize> {
    match algorithm {
        "sha256" => Some(32),
        "sha512" => Some(64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_size_is_right_at_the_edges_of_levels() {
        for (blocks, hash_blocks) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (128, 1),
            (129, 3),
            (16384, 129),
            (16385, 132),
        ] {
            assert_eq!(
                tree_size(blocks, 32),
                hash_blocks * BLOCK_SIZE,
                "{blocks} blocks"
            );
        }
        assert_eq!(fec_size(253, 2), Some(2 * BLOCK_SIZE));
        assert_eq!(fec_size(254, 2), Some(4 * BLOCK_SIZE));
        assert_eq!(fec_size(232, 24), Some(48 * BLOCK_SIZE));
        assert_eq!(fec_size(u64::MAX, 2), None);
        assert_eq!([0, 1, 25].map(|roots| fec_size(1, roots)), [None; 3]);
        assert_eq!(tree_size(64, 64), BLOCK_SIZE);
        assert_eq!(tree_size(65, 64), 3 * BLOCK_SIZE);
    }
}
