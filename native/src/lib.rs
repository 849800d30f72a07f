//! What the host does faster than Node can: hashing the blocks of a tree, parity, compression, reading and writing many files,
//! measuring the processor's clock.
//!
//! Everything here has a twin in TypeScript or can be done without; tests hold both to the same bytes. `abi` is the C
//! interface, called by `src/native/library.ts`.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod abi;
pub mod apk;
pub mod assemble;
pub mod bench;
mod bits;
pub mod clock;
pub mod cluster_batch;
pub mod clusters;
pub mod deflate;
pub mod erofs;
pub mod fec;
pub mod file;
pub mod file_hash;
pub mod hash_files;
mod huffman;
pub mod lz4;
mod repeats;
pub mod scan;
pub mod sha256;
pub mod threads;
pub mod zstd;
