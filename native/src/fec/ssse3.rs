//! Parity with SSSE3: 16 columns in a vector.

use super::engine::Code;
use super::galois::POLYNOMIAL;
use super::kernels::kernels;
use super::{Lines, MAX_ROOTS};
use core::arch::x86_64::*;

const SIZE: usize = 16;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub struct Ssse3(());

impl Ssse3 {
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("ssse3").then_some(Self(()))
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

kernels!("ssse3");

#[inline]
#[target_feature(enable = "ssse3")]
#[allow(unsafe_code)]
fn load(line: &[u8], at: usize) -> __m128i {
    let bytes = &line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "ssse3")]
#[allow(unsafe_code)]
fn store(line: &mut [u8], at: usize, vector: __m128i) {
    let bytes = &mut line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "ssse3")]
fn table(bytes: &[u8; 16]) -> __m128i {
    load(bytes, 0)
}

#[inline]
#[target_feature(enable = "ssse3")]
fn zero() -> __m128i {
    _mm_setzero_si128()
}

#[inline]
#[target_feature(enable = "ssse3")]
fn xor(a: __m128i, b: __m128i) -> __m128i {
    _mm_xor_si128(a, b)
}

#[inline]
#[target_feature(enable = "ssse3")]
fn low_nibbles(a: __m128i) -> __m128i {
    _mm_and_si128(a, _mm_set1_epi8(0x0f))
}

#[inline]
#[target_feature(enable = "ssse3")]
fn high_nibbles(a: __m128i) -> __m128i {
    low_nibbles(_mm_srli_epi16::<4>(a))
}

#[inline]
#[target_feature(enable = "ssse3")]
fn lookup(table: __m128i, nibbles: __m128i) -> __m128i {
    _mm_shuffle_epi8(table, nibbles)
}

/// Times 2: a bit that falls out comes back as the polynomial.
#[inline]
#[target_feature(enable = "ssse3")]
fn double(a: __m128i) -> __m128i {
    let fallen = _mm_cmplt_epi8(a, _mm_setzero_si128());
    let polynomial = _mm_set1_epi8(POLYNOMIAL.cast_signed());
    xor(_mm_add_epi8(a, a), _mm_and_si128(fallen, polynomial))
}
