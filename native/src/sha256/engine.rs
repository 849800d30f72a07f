//! What adds chunks to the states of several messages: the instructions that this processor has.

use super::{State, CHUNK};
use sha2::digest::generic_array::GenericArray;

#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, sha_ni::ShaNi};

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;

/// A value of this type is proof that the processor has what it needs.
#[derive(Clone, Copy)]
pub struct Engine(Kind);

#[derive(Clone, Copy)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    ShaNi(ShaNi),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Engine {
    /// The most messages that any engine takes at once.
    pub(crate) const MAX_LANES: usize = 8;

    /// How the C interface numbers them. The best is not necessarily the last.
    pub const BEST: u32 = 0;
    pub const PORTABLE: u32 = 1;
    pub const AVX2: u32 = 2;
    pub const SHA_NI: u32 = 3;
    pub const ARMV8: u32 = 4;
    pub const SHA_NI_WITHOUT_AVX: u32 = 5;

    /// An engine by its number; `None` if it is unknown or not for this processor. What the processor has is asked once in
    /// a process: under a hypervisor the question takes as long as hashing ten blocks.
    pub fn new(number: u32) -> Option<Self> {
        let kind = match number {
            Self::BEST => return Some(Self::best()),
            Self::PORTABLE => Kind::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::AVX2 => Kind::Avx2(Avx2::detect()?),
            #[cfg(target_arch = "x86_64")]
            Self::SHA_NI => Kind::ShaNi(ShaNi::detect()?),
            #[cfg(target_arch = "x86_64")]
            Self::SHA_NI_WITHOUT_AVX => Kind::ShaNi(ShaNi::detect_without_avx()?),
            #[cfg(target_arch = "aarch64")]
            Self::ARMV8 => Kind::Neon(Neon::detect()?),
            _ => return None,
        };
        Some(Self(kind))
    }

    fn best() -> Self {
        [
            Self::SHA_NI,
            Self::SHA_NI_WITHOUT_AVX,
            Self::ARMV8,
            Self::AVX2,
        ]
        .into_iter()
        .find_map(Self::new)
        .unwrap_or(Self(Kind::Portable))
    }

    pub fn number(self) -> u32 {
        match self.0 {
            Kind::Portable => Self::PORTABLE,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => Self::AVX2,
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(engine) if engine.has_avx() => Self::SHA_NI,
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => Self::SHA_NI_WITHOUT_AVX,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => Self::ARMV8,
        }
    }

    /// How many messages it takes at once: at most `MAX_LANES`. Fewer cost it more each.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            Kind::Portable => 1,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => super::avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => super::sha_ni::LANES,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => super::neon::LANES,
        }
    }

    /// Adds the whole chunks of each message to its state. The messages are of one length.
    pub(super) fn compress(self, states: &mut [State], messages: &[&[u8]]) {
        match self.0 {
            Kind::Portable => compress_portably(states, messages),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(engine) => engine.compress(states, messages),
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(engine) => engine.compress(states, messages),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(engine) => engine.compress(states, messages),
        }
    }
}

/// One message after the other, on any processor.
pub(super) fn compress_portably(states: &mut [State], messages: &[&[u8]]) {
    for (state, message) in states.iter_mut().zip(messages) {
        for chunk in message.as_chunks::<CHUNK>().0 {
            sha2::compress256(
                state,
                core::slice::from_ref(GenericArray::from_slice(chunk)),
            );
        }
    }
}
