//! What a decoder says when bytes are not what they claim to be.

use std::fmt;

/// What is wrong, in one word; tests match this and never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    Truncated,
    BadMagic,
    BadValue,
    Unsupported,
    TooLarge,
    Checksum,
    Duplicate,
    Trailing,
    Io,
}

impl ErrorCode {
    fn words(self) -> &'static str {
        match self {
            Self::Truncated => "reaches past the end",
            Self::BadMagic => "has a wrong magic",
            Self::BadValue => "has an impossible value",
            Self::Unsupported => "is not supported",
            Self::TooLarge => "is larger than the limit",
            Self::Checksum => "has a wrong checksum",
            Self::Duplicate => "occurs twice",
            Self::Trailing => "is followed by bytes that belong to nothing",
            Self::Io => "cannot be read",
        }
    }
}

/// Bytes that do not decode: which format, which field, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    pub format: &'static str,
    pub code: ErrorCode,
    pub field: &'static str,
    /// In bytes from the start of the decoded source.
    pub offset: u64,
}

impl FormatError {
    #[must_use]
    pub fn new(format: &'static str, code: ErrorCode, field: &'static str, offset: u64) -> Self {
        Self {
            format,
            code,
            field,
            offset,
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} {} (at offset {})",
            self.format,
            self.field,
            self.code.words(),
            self.offset
        )
    }
}

impl std::error::Error for FormatError {}
