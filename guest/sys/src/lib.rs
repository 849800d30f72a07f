//! The guest's only door to the kernel and to libc, and so the home of its `unsafe` code.
//!
//! `kernel` (std) serves init and the manager: mounts, modules, device mapper, vsock, processes.
//! `payload` (no_std) serves the launcher and libvm_payload, which run on whatever libc the image has.

#![cfg_attr(not(any(feature = "kernel", feature = "counting")), no_std)]

#[cfg(feature = "payload")]
extern crate alloc;

#[cfg(feature = "counting")]
pub mod counting;
#[cfg(feature = "kernel")]
pub mod kernel;
#[cfg(feature = "payload")]
pub mod payload;
