//! CBOR (RFC 8949) as DICE uses it: integers, strings, arrays, maps and simple values, each in its shortest form.
//! Tags, floats and indefinite lengths are refused.

use std::fmt;

use zeroize::Zeroizing;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;
const NULL: u64 = 22;
/// Deeper than any certificate: what nests deeper wants to exhaust the stack.
const DEPTH_MAX: u32 = 8;

/// Why bytes are not the CBOR, or the CBOR not the structure, that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub &'static str);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Error {}

type Result<T> = std::result::Result<T, Error>;

/// Appends values. Arrays and maps are given by their size; their items follow.
#[derive(Default)]
pub struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// Room for all that will be written keeps secrets from being left behind by a growing vector.
    pub fn with_capacity(size: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(size)))
    }

    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// The bytes of something public.
    pub fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }

    fn head(&mut self, major: u8, argument: u64) {
        let bytes = argument.to_be_bytes();
        let (short, size) = match argument {
            0..=23 => (argument as u8, 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        self.0.push(major << 5 | short);
        self.0.extend_from_slice(&bytes[8 - size..]);
    }

    pub fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.head(UNSIGNED, value),
            Err(_) => self.head(NEGATIVE, !value as u64),
        }
        self
    }
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UNSIGNED, value);
        self
    }
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(BYTES, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(TEXT, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }
    pub fn null(&mut self) -> &mut Self {
        self.head(SIMPLE, NULL);
        self
    }
    pub fn array(&mut self, items: usize) -> &mut Self {
        self.head(ARRAY, items as u64);
        self
    }
    pub fn map(&mut self, entries: usize) -> &mut Self {
        self.head(MAP, entries as u64);
        self
    }
    /// Values that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.0.extend_from_slice(encoded);
        self
    }
}

/// A position in bytes of which nothing is believed.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Every byte has to belong to what was read.
    pub fn end(&self) -> Result<()> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(Error("CBOR: bytes follow the value")),
        }
    }

    fn take(&mut self, size: u64) -> Result<&'a [u8]> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > self.rest.len() {
            return Err(Error("CBOR: the bytes end within a value"));
        }
        let (taken, rest) = self.rest.split_at(size);
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<(u8, u64)> {
        let initial = self.take(1)?[0];
        let (major, short) = (initial >> 5, initial & 31);
        let size = match short {
            0..=23 => return Ok((major, u64::from(short))),
            24..=27 if major != SIMPLE => 1 << (short - 24),
            _ => {
                return Err(Error(
                    "CBOR: indefinite lengths and floats are not used here",
                ))
            }
        };
        let argument = self
            .take(size)?
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        let least = if size == 1 { 24 } else { 1u64 << (4 * size) };
        if argument < least {
            return Err(Error("CBOR: a number is not in its shortest form"));
        }
        Ok((major, argument))
    }

    fn expect(&mut self, wanted: u8) -> Result<u64> {
        match self.head()? {
            (major, argument) if major == wanted => Ok(argument),
            _ => Err(Error("CBOR: a value is of another type")),
        }
    }

    /// An integer that fits 64 bits with its sign.
    pub fn int(&mut self) -> Result<i64> {
        let (major, argument) = self.head()?;
        let argument =
            i64::try_from(argument).map_err(|_| Error("CBOR: an integer is too large"))?;
        match major {
            UNSIGNED => Ok(argument),
            NEGATIVE => Ok(!argument),
            _ => Err(Error("CBOR: a value is of another type")),
        }
    }
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let size = self.expect(BYTES)?;
        self.take(size)
    }
    pub fn text(&mut self) -> Result<&'a str> {
        let size = self.expect(TEXT)?;
        std::str::from_utf8(self.take(size)?).map_err(|_| Error("CBOR: a text is not UTF-8"))
    }
    /// How many items follow. Each takes a byte at least, so that the number is bounded by the bytes.
    pub fn array(&mut self) -> Result<usize> {
        let items = self.expect(ARRAY)?;
        self.count(items, 1)
    }
    /// How many pairs of key and value follow.
    pub fn map(&mut self) -> Result<usize> {
        let entries = self.expect(MAP)?;
        self.count(entries, 2)
    }

    fn count(&self, count: u64, least: usize) -> Result<usize> {
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.rest.len() / least)
            .ok_or(Error("CBOR: the bytes end within a value"))
    }

    /// One value of any type, as it is encoded.
    pub fn raw(&mut self) -> Result<&'a [u8]> {
        let start = self.rest;
        self.skip(0)?;
        Ok(&start[..start.len() - self.rest.len()])
    }

    fn skip(&mut self, depth: u32) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error("CBOR: values nest too deeply"));
        }
        let (major, argument) = self.head()?;
        match major {
            UNSIGNED | NEGATIVE => {}
            BYTES => drop(self.take(argument)?),
            TEXT => drop(
                std::str::from_utf8(self.take(argument)?)
                    .map_err(|_| Error("CBOR: a text is not UTF-8"))?,
            ),
            ARRAY => {
                for _ in 0..self.count(argument, 1)? {
                    self.skip(depth + 1)?;
                }
            }
            MAP => {
                for _ in 0..self.count(argument, 2)? {
                    self.skip(depth + 1)?;
                    self.skip(depth + 1)?;
                }
            }
            SIMPLE if (20..=22).contains(&argument) => {}
            _ => return Err(Error("CBOR: tags are not used here")),
        }
        Ok(())
    }

    /// Reads a map with integer keys, whose values are given to `entry` undecoded. A key may stand once only.
    pub fn int_map(&mut self, mut entry: impl FnMut(i64, &'a [u8]) -> Result<()>) -> Result<()> {
        let mut seen = Vec::new();
        for _ in 0..self.map()? {
            let key = self.int()?;
            if seen.contains(&key) {
                return Err(Error("CBOR: a key stands twice"));
            }
            seen.push(key);
            entry(key, self.raw()?)?;
        }
        Ok(())
    }
}

/// One byte string and nothing else.
pub fn decode_bytes(encoded: &[u8]) -> Result<&[u8]> {
    let mut reader = Reader::new(encoded);
    let bytes = reader.bytes()?;
    reader.end()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_the_bytes_of_rfc_8949() {
        // Appendix A.
        let known: [(i64, &[u8]); 12] = [
            (0, &[0x00]),
            (23, &[0x17]),
            (24, &[0x18, 24]),
            (255, &[0x18, 255]),
            (256, &[0x19, 1, 0]),
            (65535, &[0x19, 255, 255]),
            (65536, &[0x1a, 0, 1, 0, 0]),
            (
                1_000_000_000_000,
                &[0x1b, 0, 0, 0, 0xe8, 0xd4, 0xa5, 0x10, 0],
            ),
            (-1, &[0x20]),
            (-100, &[0x38, 0x63]),
            (-1000, &[0x39, 3, 0xe7]),
            (i64::MIN, &[0x3b, 127, 255, 255, 255, 255, 255, 255, 255]),
        ];
        for (value, bytes) in known {
            let mut writer = Writer::default();
            writer.int(value);
            assert_eq!(writer.into_vec(), bytes, "{value}");
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.int(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn longer_forms_indefinite_lengths_tags_and_floats_are_refused() {
        let bad: [&[u8]; 12] = [
            &[0x18, 23],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
            &[0x5f, 0xff],
            &[0x9f, 0xff],
            &[0xbf, 0xff],
            &[0xc0, 0x00],
            &[0xf9, 0, 0],
            &[0xf8, 20],
            &[0x61, 0xff],
            &[0xf0],
        ];
        for bytes in bad {
            assert!(Reader::new(bytes).raw().is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn sizes_beyond_the_bytes_and_deep_nesting_are_refused_at_once() {
        for bytes in [
            &[0x5b, 127, 255, 255, 255, 255, 255, 255, 255][..],
            &[0x9b, 0, 0, 0, 255, 255, 255, 255, 255],
            &[0xbb, 127, 255, 255, 255, 255, 255, 255, 255, 0],
            &[0x43, 1, 2],
            &[],
        ] {
            assert!(Reader::new(bytes).raw().is_err(), "{bytes:x?}");
        }
        assert!(Reader::new(&[0x81; 4096]).raw().is_err());
    }

    #[test]
    fn key_may_stand_once() {
        assert!(Reader::new(&[0xa2, 1, 0, 1, 0])
            .int_map(|_, _| Ok(()))
            .is_err());
        assert!(Reader::new(&[0xa2, 1, 0, 2, 0])
            .int_map(|_, _| Ok(()))
            .is_ok());
    }
}
