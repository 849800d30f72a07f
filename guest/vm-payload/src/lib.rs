//! `libvm_payload.so`: what a payload may ask of its VM, as Android's C API of level 36, with libbinder_ndk. The headers in
//! `include/` are the documentation of the C side.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(not(feature = "freestanding"))]
extern crate std;

#[allow(unsafe_code, non_snake_case, non_camel_case_types)]
pub mod abi;
mod signature;
mod status;
