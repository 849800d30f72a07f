//! Changes that formats of lengths, offsets and counts are sensitive to.

use crate::numbers::Numbers;

const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Changes `bytes` in one to eight places. `other` is another sample, to take parts from.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], size_max: usize, numbers: &mut Numbers) {
    let most = 1 << numbers.below(4);
    for _ in 0..=numbers.below(most) {
        mutate_once(bytes, other, numbers);
    }
    bytes.truncate(size_max);
}

fn mutate_once(bytes: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    match numbers.below(10) {
        0 => replace(bytes, at, 1, |byte| byte ^ 1 << numbers.below(8)),
        1 => {
            let value = numbers.next() as u8;
            replace(bytes, at, 1, |_| value);
        }
        2 => put_number(bytes, at, numbers),
        3 => add_to_number(bytes, at, numbers),
        4 => {
            let end = (at + 1 + numbers.below(16)).min(bytes.len());
            bytes.drain(at.min(end)..end);
        }
        5 => {
            let size = 1 + numbers.below(16);
            let value = numbers.next() as u8;
            bytes.splice(at..at, std::iter::repeat_n(value, size));
        }
        6 => {
            let part = part_of(bytes, numbers).to_vec();
            bytes.splice(at..at, part);
        }
        7 => {
            let part = part_of(other, numbers);
            let end = (at + part.len()).min(bytes.len());
            bytes.splice(at..end, part.iter().copied());
        }
        8 => bytes.truncate(at),
        _ => {
            let part = part_of(other, numbers);
            bytes.splice(at..at, part.iter().copied());
        }
    }
}

fn replace(bytes: &mut [u8], at: usize, size: usize, mut change: impl FnMut(u8) -> u8) {
    for byte in bytes.iter_mut().skip(at).take(size) {
        *byte = change(*byte);
    }
}

/// A number of one, two, four or eight bytes, in either order.
fn put_number(bytes: &mut [u8], at: usize, numbers: &mut Numbers) {
    let chosen = NUMBERS.get(numbers.below(NUMBERS.len() + 1)).copied();
    // Often a count or an offset of the file itself.
    let value = chosen.unwrap_or(numbers.below(bytes.len() + 1) as u64);
    let size = 1 << numbers.below(4);
    write_number(bytes, at, size, value, numbers.below(2) == 0);
}

fn add_to_number(bytes: &mut [u8], at: usize, numbers: &mut Numbers) {
    let size = 1 << numbers.below(4);
    let is_little = numbers.below(2) == 0;
    let digits = bytes.iter().skip(at).take(size).copied();
    let add = |sum: u64, digit: u8| sum << 8 | u64::from(digit);
    let value = if is_little {
        digits.rev().fold(0, add)
    } else {
        digits.fold(0, add)
    };
    let difference = 1 + numbers.below(16) as u64;
    let sum = if numbers.below(2) == 0 {
        value.wrapping_add(difference)
    } else {
        value.wrapping_sub(difference)
    };
    write_number(bytes, at, size, sum, is_little);
}

fn write_number(bytes: &mut [u8], at: usize, size: usize, value: u64, is_little: bool) {
    let digits = value.to_le_bytes();
    for (index, byte) in bytes.iter_mut().skip(at).take(size).enumerate() {
        let digit = if is_little { index } else { size - 1 - index };
        *byte = digits.get(digit).copied().unwrap_or(0);
    }
}

fn part_of<'a>(bytes: &'a [u8], numbers: &mut Numbers) -> &'a [u8] {
    let start = numbers.below(bytes.len());
    let most = 1 << numbers.below(8);
    let size = 1 + numbers.below(most);
    bytes
        .get(start..)
        .map_or(&[], |rest| &rest[..size.min(rest.len())])
}
