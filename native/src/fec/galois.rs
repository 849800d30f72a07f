//! The field of the code: GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 and the primitive element 2.

pub const POLYNOMIAL: u8 = 0x1d;

pub fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        let carry = a >> 7;
        a = (a << 1) ^ (carry * POLYNOMIAL);
        b >>= 1;
    }
    product
}

/// The one whose product is 1; 0 has none, and gives 0.
pub fn invert(a: u8) -> u8 {
    (0..=u8::MAX)
        .find(|b| multiply(a, *b) == 1)
        .unwrap_or_default()
}

/// All products with one constant, by the two halves of the other factor.
#[derive(Clone, Copy, Default)]
pub struct Products {
    pub low: [u8; 16],
    pub high: [u8; 16],
}

impl Products {
    pub fn of(constant: u8) -> Self {
        let mut products = Self::default();
        for half in 0..16_u8 {
            products.low[usize::from(half)] = multiply(constant, half);
            products.high[usize::from(half)] = multiply(constant, half << 4);
        }
        products
    }
}

/// The generator of the code, (x - 1)(x - 2)(x - 4)...: the coefficients below the highest (which is 1), highest first.
pub fn generator(roots: usize) -> Vec<u8> {
    let mut polynomial = vec![0; roots];
    let mut root = 1;
    for degree in 0..roots {
        // Times (x + root): each coefficient moves up by one, and adds root times itself where it was.
        let mut above = 1;
        for coefficient in &mut polynomial[..=degree] {
            let here = *coefficient;
            *coefficient = here ^ multiply(above, root);
            above = here;
        }
        root = multiply(root, 2);
    }
    polynomial
}
