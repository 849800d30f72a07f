//! Hostile bytes for every decoder of the guest: mutations of good and bad samples, as many as the time allows.
//!
//! No coverage, no tool chain of its own: whatever makes a decoder answer in a way that it has not answered before is kept
//! and mutated further. An input fails when the decoder panics, takes more memory than its limit, or more time.
//!
//!   cargo run --release --package microbuild-fuzz -- [--seconds N] [TARGET...]

#![forbid(unsafe_code)]

mod mutate;
mod numbers;
mod run;
mod seeds;
mod targets;

pub use run::{run, Report};
pub use targets::{all, Target};

#[global_allocator]
static ALLOCATOR: microbuild_sys::counting::CountingAllocator =
    microbuild_sys::counting::CountingAllocator;
