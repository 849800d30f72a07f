//! Comparing parts of an input, as all searches for repeated bytes do.

/// How many bytes two parts of the input have in common, `limit` at most. Both must have so many.
pub fn common(input: &[u8], a: usize, b: usize, limit: usize) -> usize {
    let (left, right) = (&input[a..a + limit], &input[b..b + limit]);
    let mut length = 0;
    for (x, y) in left.chunks_exact(8).zip(right.chunks_exact(8)) {
        let words = (
            u64::from_le_bytes(x.try_into().unwrap_or_default()),
            u64::from_le_bytes(y.try_into().unwrap_or_default()),
        );
        if words.0 != words.1 {
            return length + ((words.0 ^ words.1).trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length
        + left[length..]
            .iter()
            .zip(&right[length..])
            .take_while(|(x, y)| x == y)
            .count()
}
