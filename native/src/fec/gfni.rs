//! Parity with AVX-512 and GFNI: 64 columns in a vector, one instruction for a product with a constant, and registers
//! enough for the parity of 24 roots.

use super::engine::Code;
use super::galois::multiply;
use super::{Lines, MAX_ROOTS};
use core::arch::x86_64::*;

const SIZE: usize = 64;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub struct Gfni(());

impl Gfni {
    pub fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx512f");
        there.then_some(Self(()))
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
        macro_rules! by_roots {
            ($($roots:literal)*) => {
                match code.roots() {
                    // SAFETY: `self` exists only where the processor has the instructions.
                    $($roots => unsafe { add_rows::<$roots>(code, rows, count, parity, width) })*
                    _ => {}
                }
            };
        }
        by_roots!(2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24);
    }
}

/// Times a constant is linear in the bits: a matrix whose rows say which bits of the factor make a bit of the product. The
/// instruction has the row of the highest bit in the lowest byte.
pub fn matrix(constant: u8) -> u64 {
    let row = |bit: u8| {
        (0..8).fold(0, |row, factor_bit| {
            row | (multiply(constant, 1 << factor_bit) >> bit & 1) << factor_bit
        })
    };
    u64::from_be_bytes([
        row(0),
        row(1),
        row(2),
        row(3),
        row(4),
        row(5),
        row(6),
        row(7),
    ])
}

/// See `kernels.rs`.
#[target_feature(enable = "gfni,avx512f")]
fn add_rows<const ROOTS: usize>(
    code: &Code,
    rows: &Lines,
    count: usize,
    parity: &mut Lines,
    width: usize,
) {
    let mut matrices = [0; MAX_ROOTS];
    matrices[..ROOTS].copy_from_slice(&code.matrices[..ROOTS]);
    for at in (0..width).step_by(SIZE) {
        let mut register = [_mm512_setzero_si512(); ROOTS];
        for (index, vector) in register.iter_mut().enumerate() {
            *vector = load(parity.line(index), at);
        }
        for row in 0..count {
            let feedback = _mm512_xor_si512(load(rows.line(row), at), register[0]);
            for index in 0..ROOTS {
                let matrix = _mm512_set1_epi64(matrices[index].cast_signed());
                let product = _mm512_gf2p8affine_epi64_epi8::<0>(feedback, matrix);
                register[index] = match register.get(index + 1) {
                    Some(next) => _mm512_xor_si512(*next, product),
                    None => product,
                };
            }
        }
        for (index, vector) in register.iter().enumerate() {
            store(parity.line_mut(index), at, *vector);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn load(line: &[u8], at: usize) -> __m512i {
    let bytes = &line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn store(line: &mut [u8], at: usize, vector: __m512i) {
    let bytes = &mut line[at..at + SIZE];
    // SAFETY: the bytes are there, and need not be aligned.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) }
}
