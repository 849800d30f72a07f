//! SHA-256 of many blocks of one size. Blocks are independent, so three are hashed at a time where the processor has
//! instructions for it: one alone leaves its units waiting for their own results.

#[cfg(target_arch = "x86_64")]
mod x86;

use sha2::{Digest, Sha256};

pub const DIGEST_SIZE: usize = 32;

/// Writes `SHA-256(salt || block)` of each whole block of `data` to `out`, 32 bytes each.
pub fn hash_blocks(data: &[u8], block_size: usize, salt: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = x86::Lanes::detect() {
        return lanes.hash_blocks(data, block_size, salt, out);
    }
    hash_blocks_portably(data, block_size, salt, out);
}

/// The same on any processor, and what the tests compare with.
pub fn hash_blocks_portably(data: &[u8], block_size: usize, salt: &[u8], out: &mut [u8]) {
    let salted = Sha256::new_with_prefix(salt);
    for (block, digest) in data
        .chunks_exact(block_size)
        .zip(out.chunks_exact_mut(DIGEST_SIZE))
    {
        digest.copy_from_slice(&salted.clone().chain_update(block).finalize());
    }
}
