//! Finite State Entropy (RFC 8878, section 4.1), the encoder: a symbol takes as many bits as its share of the states says,
//! also fractions of one.

use crate::bits::BitWriter;

/// No code has more symbols: offsets have 32, matches 53.
pub const MAX_SYMBOLS: usize = 64;
/// No table is larger.
const MAX_STATES: usize = 1 << 9;

/// How symbols share the states of a table; -1 is one state that starts anew.
pub struct Distribution {
    pub table_log: u32,
    pub counts: Vec<i16>,
}

/// A table to encode with. A state is kept with the table's size added, as the formulas want it.
pub struct FseTable {
    pub table_log: u32,
    /// By symbol: what added to a state gives its number of bits, 16 bits up.
    delta_bits: [i32; MAX_SYMBOLS],
    /// By symbol: what added to a shifted state gives the place of the next one.
    delta_state: [i32; MAX_SYMBOLS],
    next_states: [u16; MAX_STATES],
}

impl FseTable {
    pub fn new(table_log: u32, counts: &[i16]) -> Self {
        let size = 1_usize << table_log;
        let mut symbols = [0_u8; MAX_STATES];
        let mut high = size - 1;
        for (symbol, _) in (0_u8..).zip(counts).filter(|(_, count)| **count == -1) {
            symbols[high] = symbol;
            high -= 1;
        }
        // The states of a symbol are spread over the table.
        let step = (size >> 1) + (size >> 3) + 3;
        let mut at = 0;
        for (symbol, count) in (0_u8..).zip(counts) {
            for _ in 0..*count {
                symbols[at] = symbol;
                at = (at + step) & (size - 1);
                while at > high {
                    at = (at + step) & (size - 1);
                }
            }
        }
        let mut first = [0_usize; MAX_SYMBOLS];
        let mut delta_bits = [0; MAX_SYMBOLS];
        let mut delta_state = [0; MAX_SYMBOLS];
        let mut total = 0_i32;
        for (symbol, count) in counts.iter().enumerate() {
            let count = i32::from(count.abs());
            first[symbol] = total.cast_unsigned() as usize;
            if count == 0 {
                continue;
            }
            let bits = if count == 1 {
                table_log
            } else {
                table_log - (count - 1).ilog2()
            };
            delta_bits[symbol] = (bits << 16).cast_signed() - (count << bits);
            delta_state[symbol] = total - count;
            total += count;
        }
        let mut next_states = [0; MAX_STATES];
        for (state, symbol) in symbols[..size].iter().enumerate() {
            let place = &mut first[usize::from(*symbol)];
            next_states[*place] = (size + state) as u16;
            *place += 1;
        }
        Self {
            table_log,
            delta_bits,
            delta_state,
            next_states,
        }
    }

    /// The state to begin with so that the decoder ends with this symbol; it costs no bits.
    pub fn initial_state(&self, symbol: u8) -> u32 {
        let delta = self.delta_bits[usize::from(symbol)];
        let bits = (delta + (1 << 15)) >> 16;
        let value = (bits << 16) - delta;
        self.state_at((value >> bits) + self.delta_state[usize::from(symbol)])
    }

    fn state_at(&self, place: i32) -> u32 {
        u32::from(self.next_states[place.cast_unsigned() as usize & (MAX_STATES - 1)])
    }

    /// The bits that a symbol takes in a state, and the state after it.
    fn step(&self, state: u32, symbol: u8) -> (u32, u32) {
        let symbol = usize::from(symbol);
        let state = state.cast_signed();
        let bits = (state + self.delta_bits[symbol]) >> 16;
        let next = self.state_at((state >> bits) + self.delta_state[symbol]);
        (bits.cast_unsigned(), next)
    }

    /// Writes a symbol and returns the next state.
    pub fn put(&self, out: &mut BitWriter, state: u32, symbol: u8) -> u32 {
        let (bits, next) = self.step(state, symbol);
        out.put(state & ((1 << bits) - 1), bits);
        next
    }

    /// Writes the state that the decoder begins with.
    pub fn put_state(&self, out: &mut BitWriter, state: u32) {
        out.put(state & ((1 << self.table_log) - 1), self.table_log);
    }

    /// What symbols take, from the last to the first, with the state at the end; in bits.
    pub fn cost_of(&self, symbols: &[u8]) -> usize {
        let Some((last, rest)) = symbols.split_last() else {
            return 0;
        };
        let mut total = self.table_log;
        let mut state = self.initial_state(*last);
        for symbol in rest.iter().rev() {
            let (bits, next) = self.step(state, *symbol);
            total += bits;
            state = next;
        }
        total as usize
    }
}

/// Shares the states of a table by frequency: each symbol that occurs gets at least one, what is left over after rounding
/// down goes to the most frequent. At least two frequencies are not 0, and their number fits the largest table.
pub fn distribute(frequencies: &[u32], max_log: u32) -> Distribution {
    let total: u32 = frequencies.iter().sum();
    let distinct = frequencies.iter().filter(|count| **count > 0).count() as u32;
    let last = frequencies
        .iter()
        .rposition(|count| *count > 0)
        .unwrap_or(0);
    // A table larger than what it encodes only costs; a smaller one than its symbols cannot be.
    let useful = (total - 1)
        .ilog2()
        .saturating_sub(1)
        .max(distinct.ilog2() + 2)
        .max(5);
    let table_log = max_log.min(useful);
    let size = 1_u64 << table_log;
    let mut largest = 0;
    let mut left = 1_i32 << table_log;
    let mut counts = vec![0_i16; last + 1];
    for (symbol, count) in counts.iter_mut().enumerate() {
        let frequency = frequencies[symbol];
        if frequency == 0 {
            continue;
        }
        *count = (u64::from(frequency) * size / u64::from(total)).max(1) as i16;
        left -= i32::from(*count);
        if frequency > frequencies[largest] {
            largest = symbol;
        }
    }
    if left >= 0 {
        counts[largest] += left as i16;
    }
    // Rare symbols got more than their share: the largest counts give it back, the first of equal ones.
    while left < 0 {
        let most = (0..counts.len()).fold(
            0,
            |most, at| {
                if counts[at] > counts[most] {
                    at
                } else {
                    most
                }
            },
        );
        counts[most] -= 1;
        left += 1;
    }
    Distribution { table_log, counts }
}

/// Appends how a distribution is sent (RFC 8878, section 4.1.1). It must have no -1.
pub fn encode_distribution(Distribution { table_log, counts }: &Distribution, out: &mut Vec<u8>) {
    let mut out = BitWriter::new(out);
    out.put(table_log - 5, 4);
    let mut left = (1_u32 << table_log) + 1;
    let mut bits = table_log + 1;
    let mut threshold = 1_u32 << table_log;
    let mut symbol = 0;
    while symbol < counts.len() && left > 1 {
        let count = u32::from(counts[symbol].unsigned_abs());
        // Values below `shorter` take a bit less: fewer are possible than the bits could tell apart.
        let shorter = 2 * threshold - 1 - left;
        let mut value = count + 1;
        left -= count;
        if value >= threshold {
            value += shorter;
        }
        out.put(value, if value < shorter { bits - 1 } else { bits });
        while left < threshold {
            bits -= 1;
            threshold >>= 1;
        }
        symbol += 1;
        if count != 0 {
            continue;
        }
        // Behind a zero stands how many more there are, 3 at a time.
        let mut zeros = counts[symbol..]
            .iter()
            .take_while(|count| **count == 0)
            .count();
        symbol += zeros;
        while zeros >= 3 {
            out.put(3, 2);
            zeros -= 3;
        }
        out.put(zeros as u32, 2);
    }
    out.finish();
}
