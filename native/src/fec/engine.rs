//! What adds rows to the parity of many columns: the instructions that this processor has.

use super::galois::{generator, invert, multiply, Products};
use super::{portable, Lines};

#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, gfni, gfni::Gfni, ssse3::Ssse3};

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;

/// The code and its tables.
pub struct Code {
    /// Products with each coefficient of the generator, highest first.
    pub products: Vec<Products>,
    /// The same for GFNI.
    #[cfg(target_arch = "x86_64")]
    pub matrices: Vec<u64>,
    /// The same for the portable engine: the products of a byte with all of them.
    pub columns: portable::Table,
    /// By P and Q: see `finish_pair`.
    by_p: Vec<u8>,
    by_q: Vec<u8>,
}

impl Code {
    pub fn new(roots: usize) -> Self {
        let generator = generator(roots);
        let third = invert(3);
        Self {
            products: generator.iter().copied().map(Products::of).collect(),
            #[cfg(target_arch = "x86_64")]
            matrices: generator.iter().copied().map(gfni::matrix).collect(),
            columns: portable::table(&generator),
            by_p: (0..=u8::MAX).map(|p| multiply(p, third)).collect(),
            by_q: (0..=u8::MAX)
                .map(|q| multiply(q, multiply(4, third)))
                .collect(),
        }
    }

    pub fn roots(&self) -> usize {
        self.products.len()
    }

    /// With two roots the parity follows from P, the sum of a column, and Q, its value as a polynomial at 2. Both need
    /// no table.
    pub fn is_pair(&self) -> bool {
        self.roots() == 2
    }

    /// From P and Q to the parity. The codeword `d(x) x^2 + b1 x + b0` is zero at 1 and at 2, so `P + b1 + b0 = 0` and
    /// `4 Q + 2 b1 + b0 = 0`: their sum is `P + 4 Q + 3 b1 = 0`.
    fn finish_pair(&self, parity: &mut Lines, width: usize) {
        let (first, second) = parity.pair_mut();
        for (high, low) in first.iter_mut().zip(second).take(width) {
            let (p, q) = (*high, *low);
            *high = self.by_p[usize::from(p)] ^ self.by_q[usize::from(q)];
            *low = *high ^ p;
        }
    }
}

/// A value of this type is proof that the processor has what it needs.
#[derive(Clone, Copy)]
pub struct Engine(Kind);

#[derive(Clone, Copy)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Ssse3(Ssse3),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Gfni(Gfni),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Engine {
    /// How the C interface numbers them.
    pub const BEST: u32 = 0;
    pub const PORTABLE: u32 = 1;
    pub const SSSE3: u32 = 2;
    pub const AVX2: u32 = 3;
    pub const NEON: u32 = 4;
    pub const GFNI: u32 = 5;

    /// An engine by its number; `None` if it is unknown or not for this processor.
    pub fn new(number: u32) -> Option<Self> {
        let kind = match number {
            Self::BEST => return Some(Self::best()),
            Self::PORTABLE => Kind::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::SSSE3 => Kind::Ssse3(Ssse3::detect()?),
            #[cfg(target_arch = "x86_64")]
            Self::AVX2 => Kind::Avx2(Avx2::detect()?),
            #[cfg(target_arch = "x86_64")]
            Self::GFNI => Kind::Gfni(Gfni::detect()?),
            #[cfg(target_arch = "aarch64")]
            Self::NEON => Kind::Neon(Neon::detect()?),
            _ => return None,
        };
        Some(Self(kind))
    }

    fn best() -> Self {
        [Self::GFNI, Self::AVX2, Self::SSSE3, Self::NEON]
            .into_iter()
            .find_map(Self::new)
            .unwrap_or(Self(Kind::Portable))
    }

    pub fn number(self) -> u32 {
        match self.0 {
            Kind::Portable => Self::PORTABLE,
            #[cfg(target_arch = "x86_64")]
            Kind::Ssse3(_) => Self::SSSE3,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => Self::AVX2,
            #[cfg(target_arch = "x86_64")]
            Kind::Gfni(_) => Self::GFNI,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => Self::NEON,
        }
    }

    /// Adds the first `count` lines of `rows`, the next rows of the matrix, to the parity of `width` columns. What stands
    /// there between the first and the last row is this engine's own.
    pub(super) fn add_rows(
        self,
        code: &Code,
        rows: &Lines,
        count: usize,
        parity: &mut Lines,
        width: usize,
    ) {
        match self.0 {
            Kind::Portable => portable::add_rows(code, rows, count, parity, width),
            #[cfg(target_arch = "x86_64")]
            Kind::Ssse3(engine) => engine.add_rows(code, rows, count, parity, width),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(engine) => engine.add_rows(code, rows, count, parity, width),
            #[cfg(target_arch = "x86_64")]
            Kind::Gfni(engine) => engine.add_rows(code, rows, count, parity, width),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(engine) => engine.add_rows(code, rows, count, parity, width),
        }
    }

    /// After the last row: turns what stands there into the parity.
    pub(super) fn finish(self, code: &Code, parity: &mut Lines, width: usize) {
        let by_pair = match self.0 {
            Kind::Portable => false,
            #[cfg(target_arch = "x86_64")]
            Kind::Gfni(_) => false,
            _ => code.is_pair(),
        };
        if by_pair {
            code.finish_pair(parity, width);
        }
    }
}
