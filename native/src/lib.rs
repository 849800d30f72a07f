//! What the host does faster than Node can: hashing the blocks of a tree, decoding LZ4, measuring the processor's clock.
//!
//! Everything here has a twin in TypeScript or can be done without; tests hold both to the same bytes. `abi` is the C
//! interface, called by `src/native/library.ts`.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod abi;
pub mod assemble;
pub mod bench;
pub mod clock;
pub mod file;
pub mod file_hash;
pub mod lz4;
pub mod scan;
pub mod sha256;
pub mod threads;
