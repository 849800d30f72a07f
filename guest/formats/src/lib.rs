//! Decoders for what the guest is handed: pure, bounded, without a path, a key or a policy in them.
//!
//! Everything here reads bytes that a hostile host may have written. A decoder returns a value or a `FormatError`;
//! it never panics, never allocates more than a named limit, and never returns part of a list as the whole.

#![forbid(unsafe_code)]

pub mod android_manifest;
pub mod apk;
pub mod avb;
pub mod bootconfig;
pub mod der;
pub mod dm_verity;
pub mod error;
pub mod hex;
pub mod idsig;
pub mod payload_metadata;
pub mod read_at;
mod reader;
pub mod zip;

pub use error::{ErrorCode, FormatError};
pub use read_at::ReadAt;
