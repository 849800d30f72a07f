//! The literals section of a Zstandard block (RFC 8878, sections 3.1.1.3.1 and 4.2): bytes that no match gives, Huffman-coded
//! where that is shorter.

use super::fse::{distribute, encode_distribution, FseTable};
use crate::bits::BitWriter;
use crate::huffman::code_lengths;

const MAX_CODE_LENGTH: usize = 11;
/// Of the table that codes the weights.
const MAX_WEIGHT_LOG: u32 = 6;
/// More weights cannot be sent as they are.
const MAX_PLAIN_WEIGHTS: usize = 128;
/// From so many literals on there are four streams, which decode side by side.
const FOUR_STREAMS: usize = 256;

const RAW: u32 = 0;
const RLE: u32 = 1;
const COMPRESSED: u32 = 2;

/// Appends the section for these literals.
pub fn encode_literals(literals: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut frequencies = [0_u32; 256];
    for byte in literals {
        frequencies[usize::from(*byte)] += 1;
    }
    if let Some(first) = literals.first() {
        if frequencies[usize::from(*first)] as usize == literals.len() {
            plain_header(RLE, literals.len(), out);
            out.push(*first);
            return;
        }
        if huffman(literals, &frequencies, out).is_some()
            && out.len() - start < plain_header_size(literals.len()) + literals.len()
        {
            return;
        }
    }
    out.truncate(start);
    plain_header(RAW, literals.len(), out);
    out.extend_from_slice(literals);
}

fn plain_header_size(size: usize) -> usize {
    match size {
        0..32 => 1,
        32..4096 => 2,
        _ => 3,
    }
}

/// The header of a section without a code: its type and the number of literals.
fn plain_header(kind: u32, size: usize, out: &mut Vec<u8>) {
    let (format, bits) = match size {
        0..32 => (0, 5),
        32..4096 => (1, 12),
        _ => (3, 20),
    };
    let mut head = BitWriter::new(out);
    head.put(kind, 2);
    head.put(format, if bits == 5 { 1 } else { 2 });
    head.put(size as u32, bits);
    head.finish();
}

/// Appends a section with a code; `None` when there can be none, with any bytes behind `out`.
fn huffman(literals: &[u8], frequencies: &[u32; 256], out: &mut Vec<u8>) -> Option<()> {
    let mut lengths = [0_u8; 256];
    code_lengths(frequencies, MAX_CODE_LENGTH, &mut lengths);
    let codes = assign_codes(&lengths);
    let size = literals.len();
    // Both sizes in as few bits as the larger takes.
    let (format, bits) = match size {
        0..FOUR_STREAMS => (0, 10),
        FOUR_STREAMS..1024 => (1, 10),
        1024..16384 => (2, 14),
        _ => (3, 18),
    };
    let start = out.len();
    let header_size = (4 + 2 * bits as usize) / 8;
    out.resize(start + header_size, 0);
    encode_tree(&lengths, out)?;
    if size < FOUR_STREAMS {
        encode_stream(literals, &lengths, &codes, out);
    } else {
        let jump = out.len();
        out.resize(jump + 6, 0);
        for (part, quarter) in literals.chunks(size.div_ceil(4)).enumerate() {
            let before = out.len();
            encode_stream(quarter, &lengths, &codes, out);
            if part < 3 {
                let length = (out.len() - before) as u16;
                out[jump + 2 * part..][..2].copy_from_slice(&length.to_le_bytes());
            }
        }
    }
    let body = out.len() - start - header_size;
    if body >= 1 << bits {
        return None;
    }
    let mut header = Vec::with_capacity(5);
    let mut head = BitWriter::new(&mut header);
    head.put(COMPRESSED | (format << 2), 4);
    head.put(size as u32, bits);
    head.put(body as u32, bits);
    head.finish();
    out[start..start + header_size].copy_from_slice(&header);
    Some(())
}

/// Codes in the order of RFC 8878, 4.2.1: the longest first, from 0 on.
fn assign_codes(lengths: &[u8; 256]) -> [u16; 256] {
    let mut next = [0_u16; MAX_CODE_LENGTH + 1];
    for length in lengths {
        next[usize::from(*length)] += 1;
    }
    let mut first = 0;
    for place in next[1..].iter_mut().rev() {
        let count = *place;
        *place = first;
        first = (first + count) >> 1;
    }
    let mut codes = [0; 256];
    for (length, code) in lengths.iter().zip(&mut codes) {
        if *length > 0 {
            let place = &mut next[usize::from(*length)];
            *code = *place;
            *place += 1;
        }
    }
    codes
}

/// Written from the last literal to the first, as it is read from its end.
fn encode_stream(literals: &[u8], lengths: &[u8; 256], codes: &[u16; 256], out: &mut Vec<u8>) {
    let mut out = BitWriter::new(out);
    for literal in literals.iter().rev() {
        let literal = usize::from(*literal);
        out.put(u32::from(codes[literal]), u32::from(lengths[literal]));
    }
    out.put(1, 1);
    out.finish();
}

/// The weights of all symbols but the last, whose weight follows from the others.
fn encode_tree(lengths: &[u8; 256], out: &mut Vec<u8>) -> Option<()> {
    let last = lengths.iter().rposition(|length| *length > 0)?;
    let longest = *lengths.iter().max()?;
    let weights: Vec<u8> = lengths[..last]
        .iter()
        .map(|length| {
            if *length == 0 {
                0
            } else {
                longest + 1 - length
            }
        })
        .collect();
    let packed = encode_weights(&weights);
    let plain_size = weights.len().div_ceil(2);
    if let Some(packed) = packed.filter(|packed| packed.len() < 128) {
        if weights.len() > MAX_PLAIN_WEIGHTS || packed.len() < plain_size {
            out.push(packed.len() as u8);
            out.extend_from_slice(&packed);
            return Some(());
        }
    }
    if weights.len() > MAX_PLAIN_WEIGHTS {
        return None;
    }
    out.push(127 + weights.len() as u8);
    for pair in weights.chunks(2) {
        out.push((pair[0] << 4) | pair.get(1).unwrap_or(&0));
    }
    Some(())
}

/// The weights with two states by turns; `None` when they are too few or all the same.
fn encode_weights(weights: &[u8]) -> Option<Vec<u8>> {
    let mut frequencies = [0_u32; MAX_CODE_LENGTH + 1];
    for weight in weights {
        frequencies[usize::from(*weight)] += 1;
    }
    if weights.len() < 3
        || frequencies
            .iter()
            .any(|count| *count as usize == weights.len())
    {
        return None;
    }
    let distribution = distribute(&frequencies, MAX_WEIGHT_LOG);
    let table = FseTable::new(distribution.table_log, &distribution.counts);
    let mut bytes = Vec::with_capacity(128);
    encode_distribution(&distribution, &mut bytes);
    let mut out = BitWriter::new(&mut bytes);
    // The decoder starts with the first state at the first weight, so the last weight tells whose turn it is.
    let mut states = [0; 2];
    for (at, weight) in weights.iter().enumerate().rev() {
        let state = &mut states[at % 2];
        *state = if at + 2 >= weights.len() {
            table.initial_state(*weight)
        } else {
            table.put(&mut out, *state, *weight)
        };
    }
    table.put_state(&mut out, states[1]);
    table.put_state(&mut out, states[0]);
    out.put(1, 1);
    out.finish();
    Some(bytes)
}
