//! Huffman codes whose lengths are limited, as DEFLATE and Zstandard have them. The twin is `src/compression/huffman.ts`.

/// Writes the lengths of a Huffman code for symbols of these frequencies, none longer than `max_length` (at most 15) bits.
/// Symbols that do not occur get 0, a single one gets 1 bit. Equal frequencies are ordered by symbol.
pub fn code_lengths(frequencies: &[u32], max_length: usize, lengths: &mut [u8]) {
    lengths.fill(0);
    let mut symbols: Vec<(u32, u16)> = (0_u16..)
        .zip(frequencies)
        .filter(|(_, frequency)| **frequency > 0)
        .map(|(symbol, frequency)| (*frequency, symbol))
        .collect();
    let count = symbols.len();
    if count < 2 {
        if let Some((_, symbol)) = symbols.first() {
            lengths[usize::from(*symbol)] = 1;
        }
        return;
    }
    symbols.sort_unstable();

    // Two queues, leaves and sums, both in rising order: the two smallest are at their heads.
    let nodes = 2 * count - 1;
    let mut parent = vec![0_usize; nodes];
    let mut weight = vec![0_u64; nodes];
    for (weight, (frequency, _)) in weight.iter_mut().zip(&symbols) {
        *weight = u64::from(*frequency);
    }
    let (mut leaf, mut sum) = (0, count);
    for next in count..nodes {
        for _ in 0..2 {
            let head = if leaf < count && (sum >= next || weight[leaf] <= weight[sum]) {
                &mut leaf
            } else {
                &mut sum
            };
            let taken = *head;
            *head += 1;
            parent[taken] = next;
            weight[next] += weight[taken];
        }
    }
    // From the root downwards; then how many leaves each depth has, those too deep counted at the limit.
    let mut depth = vec![0_usize; nodes];
    let mut counts = [0_usize; 16];
    for at in (0..nodes - 1).rev() {
        depth[at] = depth[parent[at]] + 1;
        if at < count {
            counts[depth[at].min(max_length)] += 1;
        }
    }
    limit_depth(&mut counts, max_length);
    // The rarest symbols get the longest codes.
    let mut rarest = symbols.iter();
    for length in (1..=max_length).rev() {
        for (_, symbol) in rarest.by_ref().take(counts[length]) {
            lengths[usize::from(*symbol)] = length as u8;
        }
    }
}

/// Makes the code of so many symbols of each length complete again after deep ones were lifted.
fn limit_depth(counts: &mut [usize; 16], max_length: usize) {
    let full = 1_usize << max_length;
    let used: usize = (1..=max_length)
        .map(|length| counts[length] << (max_length - length))
        .sum();
    for _ in full..used {
        // One symbol of the limit's length becomes the sibling of a shorter one, which moves down.
        counts[max_length] -= 1;
        if let Some(length) = (1..max_length).rev().find(|length| counts[*length] > 0) {
            counts[length] -= 1;
            counts[length + 1] += 2;
        }
    }
}

/// Writes the canonical codes of DEFLATE for these lengths, bits reversed: it sends them from the highest bit.
pub fn canonical_codes(lengths: &[u8], codes: &mut [u16]) {
    let mut next = [0_u16; 17];
    for length in lengths.iter().filter(|length| **length > 0) {
        next[usize::from(*length) + 1] += 1;
    }
    for length in 1..16 {
        next[length + 1] = (next[length + 1] + next[length]) << 1;
    }
    for (length, code) in lengths.iter().zip(codes) {
        if *length > 0 {
            let first = &mut next[usize::from(*length)];
            *code = first.reverse_bits() >> (16 - length);
            *first += 1;
        }
    }
}
