//! Decoding. The twin is `src/compression/lz4/decode.ts`.

/// A length nibble of 15 goes on in bytes, each but the last 255.
fn read_length(source: &[u8], at: &mut usize) -> Option<usize> {
    let mut length = 15usize;
    loop {
        let byte = *source.get(*at)?;
        *at += 1;
        length = length.checked_add(usize::from(byte))?;
        if byte != 255 {
            return Some(length);
        }
    }
}

/// Decodes one block and returns its decoded length; `None` if it reads or writes outside of its bounds or does not end
/// with literals.
pub fn decode_block(source: &[u8], target: &mut [u8]) -> Option<usize> {
    let (mut at, mut to) = (0_usize, 0_usize);
    loop {
        let token = *source.get(at)?;
        at += 1;
        let mut literals = usize::from(token >> 4);
        if literals == 15 {
            literals = read_length(source, &mut at)?;
        }
        let from = source.get(at..at.checked_add(literals)?)?;
        target
            .get_mut(to..to.checked_add(literals)?)?
            .copy_from_slice(from);
        at += literals;
        to += literals;
        if at == source.len() {
            return Some(to); // the last sequence has literals only
        }
        let distance = usize::from(u16::from_le_bytes([*source.get(at)?, *source.get(at + 1)?]));
        at += 2;
        let mut length = usize::from(token & 15);
        if length == 15 {
            length = read_length(source, &mut at)?;
        }
        length = length.checked_add(4)?;
        let start = to.checked_sub(distance).filter(|_| distance > 0)?;
        let end = to.checked_add(length).filter(|end| *end <= target.len())?;
        copy_match(target, start, to, end);
        to = end;
    }
}

/// Copies `target[start..]` to `target[to..end]`, where `start < to`. A match may overlap its own output, which then
/// repeats: each round copies what is there already, so the distance doubles.
fn copy_match(target: &mut [u8], start: usize, mut to: usize, end: usize) {
    while to < end {
        let length = (to - start).min(end - to);
        target.copy_within(start..start + length, to);
        to += length;
    }
}
