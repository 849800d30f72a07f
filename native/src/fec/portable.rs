//! The code's shift register, one column after the other, on any processor.

use super::{engine::Code, Lines, MAX_ROOTS};

const WORDS: usize = MAX_ROOTS / 8;

/// The parity of one column: its bytes, the first one highest, then zeros.
type Register = [u64; WORDS];

/// For each byte its products with the coefficients of the generator.
pub type Table = Vec<Register>;

pub fn table(generator: &[u8]) -> Table {
    let row = |byte: u8| {
        let products = generator
            .iter()
            .map(|coefficient| super::galois::multiply(byte, *coefficient));
        let mut register = [0; WORDS];
        for (index, product) in products.enumerate() {
            register[index / 8] |= u64::from(product) << (56 - index % 8 * 8);
        }
        register
    };
    (0..=u8::MAX).map(row).collect()
}

pub fn add_rows(code: &Code, rows: &Lines, count: usize, parity: &mut Lines, width: usize) {
    let roots = code.roots();
    for column in 0..width {
        let mut register: Register = [0; WORDS];
        for index in 0..roots {
            let byte = u64::from(parity.line(index)[column]);
            register[index / 8] |= byte << (56 - index % 8 * 8);
        }
        for row in 0..count {
            let feedback = rows.line(row)[column] ^ (register[0] >> 56) as u8;
            let products = &code.columns[usize::from(feedback)];
            let mut carry = 0;
            for (word, product) in register.iter_mut().zip(products).rev() {
                let out = *word >> 56;
                *word = (*word << 8 | carry) ^ product;
                carry = out;
            }
        }
        for index in 0..roots {
            parity.line_mut(index)[column] = (register[index / 8] >> (56 - index % 8 * 8)) as u8;
        }
    }
}
