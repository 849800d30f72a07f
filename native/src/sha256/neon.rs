//! SHA-256 with the cryptography extension of ARMv8, up to four messages interleaved.

use super::{State, CHUNK, K};
use core::arch::aarch64::*;

/// An instruction's result is there after four cycles on most cores; there are registers for four messages.
pub const LANES: usize = 4;

/// Proof that this processor has the instructions.
#[derive(Clone, Copy)]
pub struct Neon(());

impl Neon {
    pub fn detect() -> Option<Self> {
        let there = std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("sha2");
        there.then_some(Self(()))
    }

    /// Adds the whole chunks of up to four messages of one length to their states.
    pub fn compress(self, states: &mut [State], messages: &[&[u8]]) {
        let states = states.chunks_mut(LANES);
        for (states, messages) in states.zip(messages.chunks(LANES)) {
            match (states, messages) {
                ([a, b, c, d], [w, x, y, z]) => self.compress_lanes([a, b, c, d], [w, x, y, z]),
                ([a, b, c], [x, y, z]) => self.compress_lanes([a, b, c], [x, y, z]),
                ([a, b], [x, y]) => self.compress_lanes([a, b], [x, y]),
                ([a], [x]) => self.compress_lanes([a], [x]),
                _ => {}
            }
        }
    }

    #[allow(unsafe_code)]
    fn compress_lanes<const N: usize>(self, states: [&mut State; N], messages: [&[u8]; N]) {
        // SAFETY: `self` exists only where the processor has the instructions.
        unsafe { compress(states, messages) }
    }
}

/// Four words of a message, from big-endian bytes.
#[inline]
#[target_feature(enable = "neon,sha2")]
#[allow(unsafe_code)]
fn load(chunk: &[u8; CHUNK], index: usize) -> uint32x4_t {
    let quarter = &chunk.as_chunks::<16>().0[index];
    // SAFETY: the 16 bytes are there, and need not be aligned.
    let bytes = unsafe { vld1q_u8(quarter.as_ptr()) };
    vreinterpretq_u32_u8(vrev32q_u8(bytes))
}

#[inline]
#[target_feature(enable = "neon,sha2")]
#[allow(unsafe_code)]
fn words(values: &[u32]) -> uint32x4_t {
    let four = values.as_chunks::<4>().0;
    // SAFETY: the four words are there.
    unsafe { vld1q_u32(four[0].as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon,sha2")]
#[allow(unsafe_code)]
fn store(values: &mut [u32], vector: uint32x4_t) {
    let four = values.as_chunks_mut::<4>().0;
    // SAFETY: the four words are there.
    unsafe { vst1q_u32(four[0].as_mut_ptr(), vector) }
}

#[target_feature(enable = "neon,sha2")]
fn compress<const N: usize>(states: [&mut State; N], messages: [&[u8]; N]) {
    let mut abcd = states.each_ref().map(|state| words(&state[..4]));
    let mut efgh = states.each_ref().map(|state| words(&state[4..]));
    let messages = messages.map(|message| message.as_chunks::<CHUNK>().0);
    let count = messages.iter().map(|chunks| chunks.len()).min();
    for index in 0..count.unwrap_or(0) {
        let (abcd_before, efgh_before) = (abcd, efgh);
        let mut window = messages.map(|message| {
            let chunk = &message[index];
            [
                load(chunk, 0),
                load(chunk, 1),
                load(chunk, 2),
                load(chunk, 3),
            ]
        });
        // Every step does the same to each lane, so that their instructions interleave.
        macro_rules! rounds {
            ($($round:literal)*) => { $(
                for lane in 0..N {
                    let w = &mut window[lane];
                    if $round >= 4 {
                        let early = vsha256su0q_u32(w[$round % 4], w[($round + 1) % 4]);
                        w[$round % 4] = vsha256su1q_u32(early, w[($round + 2) % 4], w[($round + 3) % 4]);
                    }
                    let with_constants = vaddq_u32(w[$round % 4], words(&K[$round]));
                    let before = abcd[lane];
                    abcd[lane] = vsha256hq_u32(before, efgh[lane], with_constants);
                    efgh[lane] = vsha256h2q_u32(efgh[lane], before, with_constants);
                }
            )* };
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..N {
            abcd[lane] = vaddq_u32(abcd[lane], abcd_before[lane]);
            efgh[lane] = vaddq_u32(efgh[lane], efgh_before[lane]);
        }
    }
    for (lane, state) in states.into_iter().enumerate() {
        store(&mut state[..4], abcd[lane]);
        store(&mut state[4..], efgh[lane]);
    }
}
