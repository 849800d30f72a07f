//! The sequences section of a Zstandard block (RFC 8878, sections 3.1.1.3.2 and 3.1.1.5): how many literals, then how long a
//! match from how far back, again and again.

use super::fse::{distribute, encode_distribution, FseTable, MAX_SYMBOLS};
use crate::bits::BitWriter;

#[derive(Clone, Copy)]
pub struct Sequence {
    pub literals: u32,
    /// 1 to 3 repeat an earlier offset, others are the offset and 3.
    pub offset_value: u32,
    pub length: u32,
}

const PREDEFINED: u8 = 0;
const SINGLE: u8 = 1;
const DESCRIBED: u8 = 2;

/// Where the values of a code begin, and how many bits tell them apart.
struct Codes<const N: usize> {
    base: [u32; N],
    extra: [u8; N],
}

impl<const N: usize> Codes<N> {
    /// Codes that each stand for one value, then codes with these numbers of extra bits.
    const fn new(start: u32, singles: usize, extras: &[u8]) -> Self {
        let mut codes = Self {
            base: [0; N],
            extra: [0; N],
        };
        let mut value = start;
        let mut code = 0;
        while code < N {
            if code >= singles {
                codes.extra[code] = extras[code - singles];
            }
            codes.base[code] = value;
            value += 1 << codes.extra[code];
            code += 1;
        }
        codes
    }

    fn code_of(&self, value: u32) -> u8 {
        (self.base.partition_point(|base| *base <= value) - 1) as u8
    }

    fn put_extra(&self, out: &mut BitWriter, code: u8, value: u32) {
        let code = usize::from(code);
        out.put(value - self.base[code], u32::from(self.extra[code]));
    }
}

const LITERAL_CODES: Codes<36> = Codes::new(
    0,
    16,
    &[
        1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ],
);
const MATCH_CODES: Codes<53> = Codes::new(
    3,
    32,
    &[
        1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ],
);

/// The distributions of RFC 8878, section 3.1.1.3.2.2.
const LITERAL_COUNTS: [i16; 36] = [
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
    -1, -1, -1, -1,
];
const MATCH_COUNTS: [i16; 53] = [
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
];
const OFFSET_COUNTS: [i16; 29] = [
    1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
];

/// The tables that need no description.
pub struct StandardTables {
    literals: FseTable,
    matches: FseTable,
    offsets: FseTable,
}

impl StandardTables {
    pub fn new() -> Self {
        Self {
            literals: FseTable::new(6, &LITERAL_COUNTS),
            matches: FseTable::new(6, &MATCH_COUNTS),
            offsets: FseTable::new(5, &OFFSET_COUNTS),
        }
    }
}

/// The table of a coding; `None` when there is one code only, which takes no bits.
enum Table<'a> {
    Standard(&'a FseTable),
    Own(Box<FseTable>),
}

/// How the codes of one kind are coded: the mode, what describes it, and the table.
struct Coding<'a> {
    mode: u8,
    description: Vec<u8>,
    table: Option<Table<'a>>,
}

impl Coding<'_> {
    /// The cheapest of the ways to code these codes, of which there is at least one.
    fn choose<'a>(codes: &[u8], standard: Option<&'a FseTable>, max_log: u32) -> Coding<'a> {
        let mut frequencies = [0_u32; MAX_SYMBOLS];
        for code in codes {
            frequencies[usize::from(*code)] += 1;
        }
        if frequencies
            .iter()
            .any(|count| *count as usize == codes.len())
        {
            return Coding {
                mode: SINGLE,
                description: codes[..1].to_vec(),
                table: None,
            };
        }
        let distribution = distribute(&frequencies, max_log);
        let own = FseTable::new(distribution.table_log, &distribution.counts);
        let mut description = Vec::new();
        encode_distribution(&distribution, &mut description);
        let cost = own.cost_of(codes) + 8 * description.len();
        match standard.filter(|table| table.cost_of(codes) <= cost) {
            Some(table) => Coding {
                mode: PREDEFINED,
                description: Vec::new(),
                table: Some(Table::Standard(table)),
            },
            None => Coding {
                mode: DESCRIBED,
                description,
                table: Some(Table::Own(Box::new(own))),
            },
        }
    }

    fn table(&self) -> Option<&FseTable> {
        match self.table.as_ref()? {
            Table::Standard(table) => Some(table),
            Table::Own(table) => Some(table),
        }
    }
}

/// The state of one of the three codes.
struct Coder<'a> {
    table: Option<&'a FseTable>,
    state: Option<u32>,
}

impl<'a> Coder<'a> {
    fn new(coding: &'a Coding) -> Self {
        Self {
            table: coding.table(),
            state: None,
        }
    }

    fn step(&mut self, out: &mut BitWriter, code: u8) {
        if let Some(table) = self.table {
            self.state = Some(match self.state {
                None => table.initial_state(code),
                Some(state) => table.put(out, state, code),
            });
        }
    }

    fn end(self, out: &mut BitWriter) {
        if let (Some(table), Some(state)) = (self.table, self.state) {
            table.put_state(out, state);
        }
    }
}

/// Appends the section for these sequences, at most 65536.
pub fn encode_sequences(sequences: &[Sequence], standard: &StandardTables, out: &mut Vec<u8>) {
    let count = sequences.len() as u32;
    if count == 0 {
        out.push(0);
        return;
    }
    let codes = |of: &dyn Fn(&Sequence) -> u8| -> Vec<u8> { sequences.iter().map(of).collect() };
    let literal_codes = codes(&|sequence| LITERAL_CODES.code_of(sequence.literals));
    let match_codes = codes(&|sequence| MATCH_CODES.code_of(sequence.length));
    let offset_codes = codes(&|sequence| sequence.offset_value.ilog2() as u8);
    let literal = Coding::choose(&literal_codes, Some(&standard.literals), 9);
    let reaches = offset_codes
        .iter()
        .all(|code| usize::from(*code) < OFFSET_COUNTS.len());
    let offset = Coding::choose(&offset_codes, reaches.then_some(&standard.offsets), 8);
    let matching = Coding::choose(&match_codes, Some(&standard.matches), 9);

    match count {
        0..128 => out.push(count as u8),
        128..0x7f00 => out.extend_from_slice(&[(count >> 8) as u8 + 128, count as u8]),
        _ => {
            out.push(255);
            out.extend_from_slice(&((count - 0x7f00) as u16).to_le_bytes());
        }
    }
    out.push((literal.mode << 6) | (offset.mode << 4) | (matching.mode << 2));
    for coding in [&literal, &offset, &matching] {
        out.extend_from_slice(&coding.description);
    }

    let mut out = BitWriter::new(out);
    let mut literal_coder = Coder::new(&literal);
    let mut offset_coder = Coder::new(&offset);
    let mut match_coder = Coder::new(&matching);
    // From the last to the first: it is read from its end.
    for (index, sequence) in sequences.iter().enumerate().rev() {
        let (run, length, far) = (
            literal_codes[index],
            match_codes[index],
            offset_codes[index],
        );
        offset_coder.step(&mut out, far);
        match_coder.step(&mut out, length);
        literal_coder.step(&mut out, run);
        LITERAL_CODES.put_extra(&mut out, run, sequence.literals);
        MATCH_CODES.put_extra(&mut out, length, sequence.length);
        out.put(sequence.offset_value - (1 << far), u32::from(far));
    }
    match_coder.end(&mut out);
    offset_coder.end(&mut out);
    literal_coder.end(&mut out);
    out.put(1, 1);
    out.finish();
}
