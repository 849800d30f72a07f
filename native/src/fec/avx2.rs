//! Parity with AVX2: 32 columns in a vector. The compiler clears the upper halves of the registers before each return.

use super::engine::Code;
use super::galois::POLYNOMIAL;
use super::kernels::kernels;
use super::{Lines, MAX_ROOTS};
use core::arch::x86_64::*;

const SIZE: usize = 32;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
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

kernels!("avx2");

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn load(line: &[u8], at: usize) -> __m256i {
    let bytes = &line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn store(line: &mut [u8], at: usize, vector: __m256i) {
    let bytes = &mut line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn table(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the bytes are there, and need not be aligned.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> __m256i {
    _mm256_setzero_si256()
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn low_nibbles(a: __m256i) -> __m256i {
    _mm256_and_si256(a, _mm256_set1_epi8(0x0f))
}

#[inline]
#[target_feature(enable = "avx2")]
fn high_nibbles(a: __m256i) -> __m256i {
    low_nibbles(_mm256_srli_epi16::<4>(a))
}

#[inline]
#[target_feature(enable = "avx2")]
fn lookup(table: __m256i, nibbles: __m256i) -> __m256i {
    _mm256_shuffle_epi8(table, nibbles)
}

/// Times 2: a bit that falls out comes back as the polynomial.
#[inline]
#[target_feature(enable = "avx2")]
fn double(a: __m256i) -> __m256i {
    let fallen = _mm256_cmpgt_epi8(_mm256_setzero_si256(), a);
    let polynomial = _mm256_set1_epi8(POLYNOMIAL.cast_signed());
    xor(_mm256_add_epi8(a, a), _mm256_and_si256(fallen, polynomial))
}
