//! Parity with NEON: 16 columns in a vector.

use super::engine::Code;
use super::galois::POLYNOMIAL;
use super::kernels::kernels;
use super::{Lines, MAX_ROOTS};
use core::arch::aarch64::*;

const SIZE: usize = 16;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub struct Neon(());

impl Neon {
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    #[allow(unsafe_code)]
    pub fn add_rows(
        self,
        code: &Code,
        rows: &Lines,
        count: usize,
        parity: &mut Lines,
        width: usize,
    ) {
        // SAFETY: `self` exists only where the processor has the instructions.
        unsafe {
            if code.is_pair() {
                add_rows_to_pair(rows, count, parity, width);
            } else {
                add_rows(code, rows, count, parity, width);
            }
        }
    }
}

kernels!("neon");

#[inline]
#[target_feature(enable = "neon")]
#[allow(unsafe_code)]
fn load(line: &[u8], at: usize) -> uint8x16_t {
    let bytes = &line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
#[allow(unsafe_code)]
fn store(line: &mut [u8], at: usize, vector: uint8x16_t) {
    let bytes = &mut line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { vst1q_u8(bytes.as_mut_ptr(), vector) }
}

#[inline]
#[target_feature(enable = "neon")]
fn table(bytes: &[u8; 16]) -> uint8x16_t {
    load(bytes, 0)
}

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> uint8x16_t {
    vdupq_n_u8(0)
}

#[inline]
#[target_feature(enable = "neon")]
fn xor(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    veorq_u8(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
fn low_nibbles(a: uint8x16_t) -> uint8x16_t {
    vandq_u8(a, vdupq_n_u8(0x0f))
}

#[inline]
#[target_feature(enable = "neon")]
fn high_nibbles(a: uint8x16_t) -> uint8x16_t {
    vshrq_n_u8::<4>(a)
}

#[inline]
#[target_feature(enable = "neon")]
fn lookup(table: uint8x16_t, nibbles: uint8x16_t) -> uint8x16_t {
    vqtbl1q_u8(table, nibbles)
}

/// Times 2: a bit that falls out comes back as the polynomial.
#[inline]
#[target_feature(enable = "neon")]
fn double(a: uint8x16_t) -> uint8x16_t {
    let fallen = vcltzq_s8(vreinterpretq_s8_u8(a));
    xor(vshlq_n_u8::<1>(a), vandq_u8(fallen, vdupq_n_u8(POLYNOMIAL)))
}
