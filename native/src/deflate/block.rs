//! One block of DEFLATE (RFC 1951): what tokens cost in it, and its bits.

use crate::bits::BitWriter;
use crate::huffman::{canonical_codes, code_lengths};

const LITERALS: usize = 286;
const DISTANCES: usize = 30;
/// The fixed code has two symbols more than are used.
const FIXED_LITERALS: usize = 288;
const END_OF_BLOCK: usize = 256;
const HEADER_SYMBOLS: usize = 19;
/// Block types: with the codes of the RFC, and with codes of its own.
const BTYPE_FIXED: u32 = 1;
const BTYPE_DYNAMIC: u32 = 2;
/// The order in which the lengths of the code length code are sent.
const CODE_LENGTH_ORDER: [usize; HEADER_SYMBOLS] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// Extra bits of the symbol of a match length.
const fn length_extra(symbol: usize) -> u32 {
    if symbol < 265 || symbol == 285 {
        0
    } else {
        (symbol as u32 - 261) >> 2
    }
}

/// Symbol and base of each match length.
const LENGTH_SYMBOLS: [(u16, u16); 259] = {
    let mut table = [(0, 0); 259];
    let mut length = 3;
    let mut symbol = 257;
    while symbol < 285 {
        let base = length;
        let mut each = 0;
        while each < 1 << length_extra(symbol) {
            table[length] = (symbol as u16, base as u16);
            length += 1;
            each += 1;
        }
        symbol += 1;
    }
    // The longest match has a symbol of its own.
    table[258] = (285, 258);
    table
};

/// Symbol, extra bits and base of a distance.
fn distance_symbol(distance: u32) -> (usize, u32, u32) {
    if distance <= 4 {
        return (distance as usize - 1, 0, distance);
    }
    let bits = (distance - 1).ilog2();
    let symbol = 2 * bits + (((distance - 1) >> (bits - 1)) & 1);
    (
        symbol as usize,
        bits - 1,
        ((2 + (symbol & 1)) << (bits - 1)) + 1,
    )
}

/// How often each symbol occurs, and the bits that follow symbols.
#[derive(Clone)]
pub struct Statistics {
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
    extra_bits: u64,
}

impl Statistics {
    pub fn new() -> Self {
        let mut literals = [0; LITERALS];
        literals[END_OF_BLOCK] = 1;
        Self {
            literals,
            distances: [0; DISTANCES],
            extra_bits: 0,
        }
    }

    /// Adds a literal, or `distance << 9 | length`.
    pub fn add(&mut self, token: u32) {
        let distance = token >> 9;
        if distance == 0 {
            self.literals[token as usize] += 1;
            return;
        }
        let symbol = usize::from(LENGTH_SYMBOLS[(token & 0x1ff) as usize].0);
        let (far, extra, _) = distance_symbol(distance);
        self.literals[symbol] += 1;
        self.distances[far] += 1;
        self.extra_bits += u64::from(length_extra(symbol) + extra);
    }
}

/// The codes of a block, how they are sent, and what the whole block takes.
pub struct BlockCodes {
    block_type: u32,
    literals: [u8; FIXED_LITERALS],
    distances: [u8; DISTANCES],
    /// Of a dynamic block: code lengths run-length encoded, symbol and extra value, and their code.
    header: Vec<(u8, u8)>,
    header_lengths: [u8; HEADER_SYMBOLS],
    /// Of the whole block with its header, in bits.
    pub bits: u64,
}

fn fixed_literals() -> [u8; FIXED_LITERALS] {
    std::array::from_fn(|symbol| match symbol {
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    })
}

/// The cheaper codes for a block of these statistics.
pub fn choose_codes(statistics: &Statistics) -> BlockCodes {
    let mut literals = [0; FIXED_LITERALS];
    let mut distances = [0; DISTANCES];
    code_lengths(&statistics.literals, 15, &mut literals[..LITERALS]);
    code_lengths(&statistics.distances, 15, &mut distances);
    let header = encode_lengths(&literals, &distances);
    let mut counts = [0; HEADER_SYMBOLS];
    for (symbol, _) in &header {
        counts[usize::from(*symbol)] += 1;
    }
    let mut header_lengths = [0; HEADER_SYMBOLS];
    code_lengths(&counts, 7, &mut header_lengths);
    let mut header_bits = 14 + 3 * header_count(&header_lengths) as u64;
    for (symbol, _) in &header {
        header_bits +=
            u64::from(header_lengths[usize::from(*symbol)]) + u64::from(header_extra(*symbol));
    }
    let body = |own: &[u8], far: &[u8]| -> u64 {
        let cost = |lengths: &[u8], counts: &[u32]| -> u64 {
            let pairs = lengths.iter().zip(counts);
            pairs
                .map(|(length, count)| u64::from(*length) * u64::from(*count))
                .sum()
        };
        3 + statistics.extra_bits
            + cost(own, &statistics.literals)
            + cost(far, &statistics.distances)
    };
    let dynamic = header_bits + body(&literals, &distances);
    let fixed = body(&fixed_literals(), &[5; DISTANCES]);
    if dynamic < fixed {
        BlockCodes {
            block_type: BTYPE_DYNAMIC,
            literals,
            distances,
            header,
            header_lengths,
            bits: dynamic,
        }
    } else {
        BlockCodes {
            block_type: BTYPE_FIXED,
            literals: fixed_literals(),
            distances: [5; DISTANCES],
            header: Vec::new(),
            header_lengths,
            bits: fixed,
        }
    }
}

/// How many lengths are left without the zeros at the end.
fn trimmed(lengths: &[u8], least: usize) -> usize {
    let used = lengths.iter().rposition(|length| *length > 0);
    used.map_or(0, |last| last + 1).max(least)
}

/// Both codes' lengths as one sequence: runs become symbols 16 (repeat), 17 and 18 (zeros).
fn encode_lengths(literals: &[u8; FIXED_LITERALS], distances: &[u8; DISTANCES]) -> Vec<(u8, u8)> {
    let (own, far) = (
        &literals[..trimmed(literals, 257)],
        &distances[..trimmed(distances, 1)],
    );
    let all = [own, far].concat();
    let mut out = Vec::new();
    for run in all.chunk_by(|a, b| a == b) {
        let length = run[0];
        let mut left = run.len();
        if length == 0 {
            while left >= 11 {
                let count = left.min(138);
                out.push((18, (count - 11) as u8));
                left -= count;
            }
            if left >= 3 {
                out.push((17, (left - 3) as u8));
                left = 0;
            }
        } else {
            out.push((length, 0));
            left -= 1;
            while left >= 3 {
                let count = left.min(6);
                out.push((16, (count - 3) as u8));
                left -= count;
            }
        }
        out.extend(std::iter::repeat_n((length, 0), left));
    }
    out
}

fn header_extra(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

fn header_count(lengths: &[u8; HEADER_SYMBOLS]) -> usize {
    let used = CODE_LENGTH_ORDER
        .iter()
        .rposition(|symbol| lengths[*symbol] > 0);
    used.map_or(0, |last| last + 1).max(4)
}

/// Appends the bytes of a stream that is this one block.
pub fn encode_block(tokens: &[u32], codes: &BlockCodes, out: &mut Vec<u8>) {
    let mut out = BitWriter::new(out);
    out.put(1 | (codes.block_type << 1), 3); // the last block, and its type
    if codes.block_type == BTYPE_DYNAMIC {
        let count = header_count(&codes.header_lengths);
        out.put(trimmed(&codes.literals, 257) as u32 - 257, 5);
        out.put(trimmed(&codes.distances, 1) as u32 - 1, 5);
        out.put(count as u32 - 4, 4);
        for symbol in &CODE_LENGTH_ORDER[..count] {
            out.put(u32::from(codes.header_lengths[*symbol]), 3);
        }
        let mut sent = [0; HEADER_SYMBOLS];
        canonical_codes(&codes.header_lengths, &mut sent);
        for (symbol, extra) in &codes.header {
            let at = usize::from(*symbol);
            out.put(u32::from(sent[at]), u32::from(codes.header_lengths[at]));
            out.put(u32::from(*extra), header_extra(*symbol));
        }
    }
    let mut literals = [0; FIXED_LITERALS];
    let mut distances = [0; DISTANCES];
    canonical_codes(&codes.literals, &mut literals);
    canonical_codes(&codes.distances, &mut distances);
    let literal = |symbol: usize| {
        (
            u32::from(literals[symbol]),
            u32::from(codes.literals[symbol]),
        )
    };
    for token in tokens {
        let distance = token >> 9;
        if distance == 0 {
            let (code, length) = literal(*token as usize);
            out.put(code, length);
            continue;
        }
        let (symbol, base) = LENGTH_SYMBOLS[(token & 0x1ff) as usize];
        let (code, length) = literal(usize::from(symbol));
        out.put(code, length);
        out.put(
            (token & 0x1ff) - u32::from(base),
            length_extra(usize::from(symbol)),
        );
        let (far, extra, base) = distance_symbol(distance);
        out.put(u32::from(distances[far]), u32::from(codes.distances[far]));
        out.put(distance - base, extra);
    }
    let (code, length) = literal(END_OF_BLOCK);
    out.put(code, length);
    out.finish();
}
