//! Parity: every engine against the definition of the code, and the C interface.

use microbuild_native::abi::{
    mb_fec_encode, mb_fec_encode_files, mb_fec_engine, ERROR_ARGUMENT, ERROR_TRUNCATED,
};
use microbuild_native::fec::galois::{generator, invert, multiply, Products};
use microbuild_native::fec::{encode, Engine, MemoryRows};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

/// Bytes that look random, the same in every run.
fn bytes(length: usize, mut seed: u64) -> Vec<u8> {
    (0..length)
        .map(|_| {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        })
        .collect()
}

/// A polynomial's value, its highest coefficient first.
fn value_at(coefficients: impl Iterator<Item = u8>, at: u8) -> u8 {
    coefficients.fold(0, |value, coefficient| multiply(value, at) ^ coefficient)
}

#[test]
fn the_field_has_inverses_and_its_products_are_the_sums_of_their_halves() {
    assert_eq!(multiply(0x80, 2), 0x1d);
    for a in 1..=u8::MAX {
        assert_eq!(multiply(a, invert(a)), 1);
        let products = Products::of(a);
        for b in 0..=u8::MAX {
            let halves = products.low[usize::from(b & 15)] ^ products.high[usize::from(b >> 4)];
            assert_eq!(multiply(a, b), halves);
            assert_eq!(multiply(b, a), halves);
        }
    }
}

#[test]
fn the_generator_is_zero_at_its_roots_and_nowhere_else() {
    for roots in 2..=24 {
        let polynomial = generator(roots);
        assert_eq!(polynomial.len(), roots);
        let mut at = 1;
        for power in 0..255 {
            let value = value_at([1].into_iter().chain(polynomial.iter().copied()), at);
            assert_eq!(value == 0, power < roots, "{roots} roots, 2^{power}");
            at = multiply(at, 2);
        }
    }
}

#[test]
fn every_column_with_its_parity_is_a_codeword() {
    for engine in (1..=5).filter_map(Engine::new) {
        for roots in [2, 3, 7, 8, 9, 23, 24] {
            for width in [1, 127, 128, 300] {
                let rows = bytes((255 - roots) * width, 3 + roots as u64);
                let mut parity = vec![0; roots * width];
                let source = MemoryRows {
                    bytes: &rows,
                    width,
                };
                encode(engine, 2, roots, &source, &mut parity).unwrap();
                for column in 0..width {
                    let mut root = 1;
                    for _ in 0..roots {
                        let message = rows.iter().skip(column).step_by(width).copied();
                        let rest = parity[column * roots..][..roots].iter().copied();
                        assert_eq!(
                            value_at(message.chain(rest), root),
                            0,
                            "engine {}, {roots} roots, column {column} of {width}",
                            engine.number()
                        );
                        root = multiply(root, 2);
                    }
                }
            }
        }
    }
}

#[test]
fn arguments_that_cannot_be_are_refused() {
    assert_eq!(mb_fec_engine(1), 1);
    assert!((1..=5).contains(&mb_fec_engine(0)));
    assert_eq!(mb_fec_engine(6), 0);
    let mut parity = [0; 32];
    for (engine, roots, width) in [
        (5, 2, 1),
        (0, 1, 1),
        (0, 25, 1),
        (0, 2, usize::MAX),
        (0, 2, 1),
    ] {
        // SAFETY: refused before any pointer is used.
        let result =
            unsafe { mb_fec_encode(engine, 1, roots, ptr::null(), width, parity.as_mut_ptr()) };
        assert_eq!(result, ERROR_ARGUMENT);
    }
    // SAFETY: there is nothing to read or write.
    assert_eq!(
        unsafe { mb_fec_encode(0, 1, 2, ptr::null(), 0, ptr::null_mut()) },
        0
    );

    let null = File::open("/dev/null").unwrap();
    let fd = i64::from(null.as_raw_fd());
    let mut encode = |parts: &[[i64; 3]], roots, row_size, first_column, parity_len| {
        let parts: Vec<u8> = parts
            .iter()
            .flatten()
            .flat_map(|n| n.to_ne_bytes())
            .collect();
        // SAFETY: the pointers are valid for the sizes given, and the file is open.
        unsafe {
            mb_fec_encode_files(
                0,
                1,
                roots,
                parts.as_ptr(),
                parts.len() / 24,
                row_size,
                first_column,
                parity.as_mut_ptr(),
                parity_len,
            )
        }
    };
    assert_eq!(encode(&[[fd, 0, 0]], 2, 16, 0, 32), 0);
    assert_eq!(encode(&[], 2, 16, 15, 2), 0);
    assert_eq!(encode(&[[fd, 0, 1]], 2, 16, 0, 32), ERROR_TRUNCATED);
    for (part, roots, row_size, first_column, parity_len) in [
        ([-1, 0, 0], 2, 16, 0, 32),
        ([i64::MAX, 0, 0], 2, 16, 0, 32),
        ([fd, -1, 0], 2, 16, 0, 32),
        ([fd, 0, -1], 2, 16, 0, 32),
        ([fd, i64::MAX, 1], 2, 16, 0, 32),
        ([fd, 0, 253 * 16 + 1], 2, 16, 0, 32),
        ([fd, 0, 0], 1, 16, 0, 16),
        ([fd, 0, 0], 25, 1, 0, 25),
        ([fd, 0, 0], 2, 15, 0, 32),
        ([fd, 0, 0], 2, 16, 1, 32),
        ([fd, 0, 0], 2, 16, u64::MAX, 32),
        ([fd, 0, 0], 2, u64::MAX, 0, 32),
        ([fd, 0, 0], 2, 16, 0, 31),
    ] {
        let result = encode(&[part], roots, row_size, first_column, parity_len);
        assert_eq!(result, ERROR_ARGUMENT, "{part:?}");
    }
}
