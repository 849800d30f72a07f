//! Bootconfig: the trailer that carries it, and its text.
//!
//! The kernel's Documentation/admin-guide/bootconfig.rst. Of the text's grammar only `key = value[, value]` lines and
//! comments are read: braces, `+=` and `:=` are what nobody here writes, so they are refused rather than guessed.

use crate::error::{ErrorCode, FormatError};

const FORMAT: &str = "bootconfig";
const MAGIC: &[u8] = b"#BOOTCONFIG\n";
const TRAILER_SIZE: usize = 4 + 4 + MAGIC.len();
/// `XBC_DATA_MAX` of the kernel.
const TEXT_MAX: usize = 32 * 1024;

/// Takes the text out of a whole bootconfig: text, padding to 4 bytes, size, sum, magic, and nothing else.
///
/// # Errors
/// When size, checksum, magic or padding is not what the trailer claims.
pub fn decode_trailer(source: &[u8]) -> Result<&str, FormatError> {
    let fail = |code, field, offset: usize| FormatError::new(FORMAT, code, field, offset as u64);
    let Some(data_size) = source.len().checked_sub(TRAILER_SIZE) else {
        return Err(fail(ErrorCode::Truncated, "trailer", 0));
    };
    let (data, trailer) = source.split_at(data_size);
    let (size, rest) = trailer.split_at(4);
    let (sum, magic) = rest.split_at(4);
    if magic != MAGIC {
        return Err(fail(ErrorCode::BadMagic, "magic", data_size + 8));
    }
    if !data_size.is_multiple_of(4)
        || size != u32::try_from(data_size).unwrap_or(u32::MAX).to_le_bytes()
    {
        return Err(fail(ErrorCode::BadValue, "size", data_size));
    }
    if data_size > TEXT_MAX {
        return Err(fail(ErrorCode::TooLarge, "text", 0));
    }
    let expected = data
        .iter()
        .fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    if sum != expected.to_le_bytes() {
        return Err(fail(ErrorCode::Checksum, "sum", data_size + 4));
    }
    let text_size = data
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    if data_size - text_size > 4 || data[..text_size].contains(&0) {
        return Err(fail(ErrorCode::BadValue, "padding", text_size));
    }
    std::str::from_utf8(&data[..text_size]).map_err(|_| fail(ErrorCode::BadValue, "text", 0))
}

/// The decoded text: every key once, each with one value or more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bootconfig {
    entries: Vec<(String, Vec<String>)>,
}

impl Bootconfig {
    /// # Errors
    /// When a line is not `key = value[, value]`, or a key occurs twice.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let mut entries: Vec<(String, Vec<String>)> = Vec::new();
        let mut offset = 0u64;
        for line in text.split_inclusive('\n') {
            if let Some((key, values)) = parse_line(line, offset)? {
                if entries.iter().any(|(known, _)| *known == key) {
                    return Err(FormatError::new(
                        FORMAT,
                        ErrorCode::Duplicate,
                        "key",
                        offset,
                    ));
                }
                entries.push((key, values));
            }
            offset += line.len() as u64;
        }
        Ok(Self { entries })
    }

    /// All values of a key; empty when the key is absent.
    #[must_use]
    pub fn values(&self, key: &str) -> &[String] {
        self.entries
            .iter()
            .find(|(known, _)| known == key)
            .map_or(&[], |(_, values)| values)
    }

    /// Keys that begin with `prefix`, without it, and their values, in the order of the text.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [String])> {
        self.entries
            .iter()
            .filter_map(move |(key, values)| Some((key.strip_prefix(prefix)?, values.as_slice())))
    }

    /// The value of a key that has exactly one.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        match self.values(key) {
            [value] => Some(value),
            _ => None,
        }
    }
}

fn parse_line(line: &str, offset: u64) -> Result<Option<(String, Vec<String>)>, FormatError> {
    let fail = |field| FormatError::new(FORMAT, ErrorCode::BadValue, field, offset);
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (key, mut rest) = line.split_once('=').ok_or_else(|| fail("line"))?;
    let key = key.trim_end();
    let is_key_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if key.is_empty() || !key.bytes().all(is_key_byte) {
        return Err(fail("key"));
    }
    let mut values = Vec::new();
    loop {
        let (value, after) = parse_value(rest.trim_start()).ok_or_else(|| fail("value"))?;
        values.push(value.to_owned());
        let after = after.trim_start();
        if after.is_empty() || after.starts_with('#') {
            return Ok(Some((key.to_owned(), values)));
        }
        rest = after.strip_prefix(',').ok_or_else(|| fail("value"))?;
    }
}

/// One value and what follows it. Quoted values have no escapes, so they end at the next quote of the same kind.
fn parse_value(text: &str) -> Option<(&str, &str)> {
    if let Some(quote) = text
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))
    {
        return text[1..].split_once(quote);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/');
    let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    Some(text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_trailer(text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        bytes.resize(text.len().next_multiple_of(4), 0);
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        let size = bytes.len() as u32;
        bytes.extend(size.to_le_bytes());
        bytes.extend(sum.to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    #[test]
    fn trailer_gives_the_text_back_for_every_padding() {
        for text in ["", "a=1\n", "a=12\n", "a=123\n", "a=1234\n"] {
            assert_eq!(decode_trailer(&with_trailer(text.as_bytes())), Ok(text));
        }
    }

    #[test]
    fn every_changed_byte_of_a_bootconfig_is_noticed() {
        let good = with_trailer(b"microbuild.name = \"hello\"\n");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(decode_trailer(&bad).is_err(), "byte {at}");
        }
        assert!(decode_trailer(&good[1..]).is_err());
        assert!(decode_trailer(&[&good[..], b"x"].concat()).is_err());
        assert!(decode_trailer(&with_trailer(b"a=\0b\n")).is_err());
        assert!(decode_trailer(&with_trailer(&vec![b'#'; TEXT_MAX + 4])).is_err());
    }

    #[test]
    fn text_reads_lists_quotes_and_comments() {
        let text = "# note\nandroidboot.vbmeta.device = \"/dev/block/by-name/vbmeta_a\"\nn=0 # end\n\nlist = 'a b', \"c,d\" , e:f\n";
        let config = Bootconfig::parse(text).expect("valid");
        assert_eq!(
            config.value("androidboot.vbmeta.device"),
            Some("/dev/block/by-name/vbmeta_a")
        );
        assert_eq!(config.value("n"), Some("0"));
        assert_eq!(config.values("list"), ["a b", "c,d", "e:f"]);
        assert_eq!(config.value("list"), None);
        assert_eq!(config.values("absent"), [""; 0]);
        let below: Vec<_> = config.below("androidboot.vbmeta.").collect();
        assert_eq!(
            below,
            [("device", config.values("androidboot.vbmeta.device"))]
        );
    }

    #[test]
    fn text_refuses_what_it_would_have_to_guess() {
        for bad in [
            "a",
            "a = 1\na = 2",
            "a += 1",
            "a := 1",
            "a { b = 1 }",
            "a = \"x",
            "= 1",
            "a = b c",
            "a b = 1",
            "a = 1; b = 2",
        ] {
            assert!(Bootconfig::parse(bad).is_err(), "{bad}");
        }
    }
}
