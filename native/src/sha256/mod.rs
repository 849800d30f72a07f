//! SHA-256 of many blocks of one size. Blocks are independent, so several are hashed at a time: one alone leaves the
//! processor's units waiting for their own results.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod blocks;
mod engine;
mod long;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(target_arch = "x86_64")]
mod sha_ni_asm;

pub use blocks::BlockHasher;
pub use engine::Engine;
pub use long::{LongMessage, LongMessages};

use sha2::{Digest, Sha256};

pub const DIGEST_SIZE: usize = 32;

pub const CHUNK: usize = 64;

type State = [u32; 8];

const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

#[rustfmt::skip]
const K: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// Writes `SHA-256(salt || block)` of each whole block of `data` to `out`, 32 bytes each.
pub fn hash_blocks(engine: Engine, data: &[u8], block_size: usize, salt: &[u8], out: &mut [u8]) {
    BlockHasher::new(engine, block_size, salt).hash(data, out);
}

/// The same, one message after the other: what the tests compare every engine with.
pub fn hash_blocks_plainly(data: &[u8], block_size: usize, salt: &[u8], out: &mut [u8]) {
    let salted = Sha256::new_with_prefix(salt);
    for (block, digest) in data
        .chunks_exact(block_size)
        .zip(out.chunks_exact_mut(DIGEST_SIZE))
    {
        digest.copy_from_slice(&salted.clone().chain_update(block).finalize());
    }
}
