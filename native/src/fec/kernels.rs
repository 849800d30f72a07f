//! The same work for every kind of vector: a file for each says what its instructions are called.

/// Defines `add_rows` for a vector of `SIZE` bytes, given `load`, `store`, `xor`, `table`, `low_nibbles`, `high_nibbles`,
/// `lookup`, `double` and `zero`.
macro_rules! kernels {
    ($features:literal) => {
        /// How many vectors are worked on side by side.
        const WIDE: usize = 4;

        /// The code's shift register: `d` and the first byte of the parity give what is fed back, times each coefficient
        /// of the generator, to the parity moved up by one. A product is looked up by its halves.
        #[target_feature(enable = $features)]
        fn add_rows(code: &Code, rows: &Lines, count: usize, parity: &mut Lines, width: usize) {
            let roots = code.roots();
            // The one behind the last stays zero.
            let mut register = [[zero(); WIDE]; MAX_ROOTS + 1];
            for at in (0..width).step_by(WIDE * SIZE) {
                for (index, vectors) in register[..roots].iter_mut().enumerate() {
                    for (lane, vector) in vectors.iter_mut().enumerate() {
                        *vector = load(parity.line(index), at + lane * SIZE);
                    }
                }
                for row in 0..count {
                    let line = rows.line(row);
                    let (mut low, mut high) = ([zero(); WIDE], [zero(); WIDE]);
                    for lane in 0..WIDE {
                        let feedback = xor(load(line, at + lane * SIZE), register[0][lane]);
                        low[lane] = low_nibbles(feedback);
                        high[lane] = high_nibbles(feedback);
                    }
                    for (index, products) in code.products.iter().enumerate() {
                        let (by_low, by_high) = (table(&products.low), table(&products.high));
                        for lane in 0..WIDE {
                            let product =
                                xor(lookup(by_low, low[lane]), lookup(by_high, high[lane]));
                            register[index][lane] = xor(register[index + 1][lane], product);
                        }
                    }
                }
                for (index, vectors) in register[..roots].iter().enumerate() {
                    for (lane, vector) in vectors.iter().enumerate() {
                        store(parity.line_mut(index), at + lane * SIZE, *vector);
                    }
                }
            }
        }

        /// For two roots: the sum of all rows and, by Horner's rule, their value at 2.
        #[target_feature(enable = $features)]
        fn add_rows_to_pair(rows: &Lines, count: usize, parity: &mut Lines, width: usize) {
            let (first, second) = parity.pair_mut();
            for at in (0..width).step_by(WIDE * SIZE) {
                let (mut p, mut q) = ([zero(); WIDE], [zero(); WIDE]);
                for lane in 0..WIDE {
                    p[lane] = load(first, at + lane * SIZE);
                    q[lane] = load(second, at + lane * SIZE);
                }
                for row in 0..count {
                    let line = &rows.line(row)[at..at + WIDE * SIZE];
                    for lane in 0..WIDE {
                        let d = load(line, lane * SIZE);
                        p[lane] = xor(p[lane], d);
                        q[lane] = xor(double(q[lane]), d);
                    }
                }
                for lane in 0..WIDE {
                    store(first, at + lane * SIZE, p[lane]);
                    store(second, at + lane * SIZE, q[lane]);
                }
            }
        }
    };
}

pub(super) use kernels;
