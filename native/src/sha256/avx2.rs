//! SHA-256 of eight messages side by side, one in each 32-bit lane of AVX2: for processors without SHA instructions.

use super::{engine::compress_portably, State, CHUNK, K};
use core::arch::x86_64::*;

pub const LANES: usize = 8;

/// So few are done sooner one after the other.
const TOO_FEW: usize = 3;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Adds the whole chunks of up to eight messages of one length to their states.
    pub fn compress(self, states: &mut [State], messages: &[&[u8]]) {
        let (Some(first), Some(start)) = (messages.first(), states.first()) else {
            return;
        };
        if messages.len() < TOO_FEW {
            return compress_portably(states, messages);
        }
        // A group that is not full hashes its first message again, for nobody.
        let mut eight = [*start; LANES];
        let mut all = [*first; LANES];
        for (lane, (state, message)) in states.iter().zip(messages).enumerate() {
            (eight[lane], all[lane]) = (*state, message);
        }
        self.compress_lanes(&mut eight, all);
        for (state, new) in states.iter_mut().zip(eight) {
            *state = new;
        }
    }

    #[allow(unsafe_code)]
    fn compress_lanes(self, states: &mut [State; LANES], messages: [&[u8]; LANES]) {
        // SAFETY: `self` exists only where the processor has the instructions. The compiler clears the upper halves of
        // the registers before the return, as SHA instructions would wait for them.
        unsafe { compress(states, messages) }
    }
}

/// Rotates each word right.
macro_rules! rotate {
    ($x:expr, $bits:literal) => {
        _mm256_or_si256(
            _mm256_srli_epi32::<$bits>($x),
            _mm256_slli_epi32::<{ 32 - $bits }>($x),
        )
    };
}

macro_rules! xor {
    ($a:expr, $b:expr) => {
        _mm256_xor_si256($a, $b)
    };
    ($a:expr, $b:expr, $c:expr) => {
        xor!(xor!($a, $b), $c)
    };
}

macro_rules! add {
    ($a:expr, $b:expr) => { _mm256_add_epi32($a, $b) };
    ($a:expr, $($rest:expr),+) => { add!($a, add!($($rest),+)) };
}

#[target_feature(enable = "avx2")]
fn compress(states: &mut [State; LANES], messages: [&[u8]; LANES]) {
    let mut columns = transpose(states.each_ref().map(|state| load_state(state)));
    let messages = messages.map(|message| message.as_chunks::<CHUNK>().0);
    let count = messages.iter().map(|chunks| chunks.len()).min();
    for index in 0..count.unwrap_or(0) {
        add_chunk(&mut columns, messages.map(|message| &message[index]));
    }
    let rows = transpose(columns);
    for (state, row) in states.iter_mut().zip(rows) {
        store(state, row);
    }
}

/// Adds one chunk of each message; a vector holds one word of all eight.
#[inline]
#[target_feature(enable = "avx2")]
fn add_chunk(columns: &mut [__m256i; 8], chunks: [&[u8; CHUNK]; LANES]) {
    let half = |index: usize| {
        let rows = chunks.map(|chunk| load(&chunk.as_chunks::<32>().0[index]));
        let swap = _mm256_set_epi64x(
            0x0c0d_0e0f_0809_0a0b,
            0x0405_0607_0001_0203,
            0x0c0d_0e0f_0809_0a0b,
            0x0405_0607_0001_0203,
        );
        transpose(rows).map(|words| _mm256_shuffle_epi8(words, swap))
    };
    let mut w = [_mm256_setzero_si256(); 16];
    w[..8].copy_from_slice(&half(0));
    w[8..].copy_from_slice(&half(1));

    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *columns;
    // maj(a, b, c) = b ^ ((a ^ b) & (b ^ c)), and the next round's b ^ c is this one's a ^ b.
    let mut b_xor_c = xor!(b, c);
    for sixteen in 0..4 {
        macro_rules! round {
            ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $i:literal) => {
                if sixteen > 0 {
                    let (x, y) = (w[($i + 1) % 16], w[($i + 14) % 16]);
                    let low = xor!(rotate!(x, 7), rotate!(x, 18), _mm256_srli_epi32::<3>(x));
                    let high = xor!(rotate!(y, 17), rotate!(y, 19), _mm256_srli_epi32::<10>(y));
                    w[$i] = add!(w[$i], w[($i + 9) % 16], low, high);
                }
                let constant = _mm256_set1_epi32(K[sixteen * 4 + $i / 4][$i % 4].cast_signed());
                let sum = xor!(rotate!($e, 6), rotate!($e, 11), rotate!($e, 25));
                let choice = xor!($g, _mm256_and_si256($e, xor!($f, $g)));
                let new = add!(add!($h, add!(w[$i], constant)), sum, choice);
                $d = add!($d, new);
                let a_xor_b = xor!($a, $b);
                let majority = xor!($b, _mm256_and_si256(a_xor_b, b_xor_c));
                b_xor_c = a_xor_b;
                let sum = xor!(rotate!($a, 2), rotate!($a, 13), rotate!($a, 22));
                $h = add!(new, sum, majority);
            };
        }
        round!(a b c d e f g h, 0);
        round!(h a b c d e f g, 1);
        round!(g h a b c d e f, 2);
        round!(f g h a b c d e, 3);
        round!(e f g h a b c d, 4);
        round!(d e f g h a b c, 5);
        round!(c d e f g h a b, 6);
        round!(b c d e f g h a, 7);
        round!(a b c d e f g h, 8);
        round!(h a b c d e f g, 9);
        round!(g h a b c d e f, 10);
        round!(f g h a b c d e, 11);
        round!(e f g h a b c d, 12);
        round!(d e f g h a b c, 13);
        round!(c d e f g h a b, 14);
        round!(b c d e f g h a, 15);
    }
    for (column, word) in columns.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *column = add!(*column, word);
    }
}

/// Rows to columns of an 8 x 8 matrix of words.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    // Of four rows: words 0 and 4, 1 and 5, ... of each.
    let four = |a, b, c, d| {
        let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (low2, high2) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(low, low2),
            _mm256_unpackhi_epi64(low, low2),
            _mm256_unpacklo_epi64(high, high2),
            _mm256_unpackhi_epi64(high, high2),
        ]
    };
    let [a, b, c, d] = four(a, b, c, d);
    let [e, f, g, h] = four(e, f, g, h);
    [
        _mm256_permute2x128_si256::<0x20>(a, e),
        _mm256_permute2x128_si256::<0x20>(b, f),
        _mm256_permute2x128_si256::<0x20>(c, g),
        _mm256_permute2x128_si256::<0x20>(d, h),
        _mm256_permute2x128_si256::<0x31>(a, e),
        _mm256_permute2x128_si256::<0x31>(b, f),
        _mm256_permute2x128_si256::<0x31>(c, g),
        _mm256_permute2x128_si256::<0x31>(d, h),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the 32 bytes are there, and need not be aligned.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn load_state(state: &State) -> __m256i {
    // SAFETY: eight words are 32 bytes, and need not be aligned.
    unsafe { _mm256_loadu_si256(state.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
#[allow(unsafe_code)]
fn store(state: &mut State, row: __m256i) {
    // SAFETY: eight words are 32 bytes, and need not be aligned.
    unsafe { _mm256_storeu_si256(state.as_mut_ptr().cast(), row) }
}
