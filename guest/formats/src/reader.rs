//! A cursor that checks before it reads. The only place where the decoders index bytes by position.

use crate::error::{ErrorCode, FormatError};

#[derive(Clone)]
pub(crate) struct Reader<'a> {
    format: &'static str,
    bytes: &'a [u8],
    at: usize,
    /// Offset of `bytes[0]` in the decoded source, for errors.
    base: u64,
}

macro_rules! number {
    ($name:ident, $type:ty, $from:ident) => {
        pub(crate) fn $name(&mut self, field: &'static str) -> Result<$type, FormatError> {
            let mut raw = [0u8; size_of::<$type>()];
            raw.copy_from_slice(self.take(size_of::<$type>(), field)?);
            Ok(<$type>::$from(raw))
        }
    };
}

impl<'a> Reader<'a> {
    pub(crate) fn new(format: &'static str, bytes: &'a [u8]) -> Self {
        Self::at(format, bytes, 0)
    }

    pub(crate) fn at(format: &'static str, bytes: &'a [u8], base: u64) -> Self {
        Self {
            format,
            bytes,
            at: 0,
            base,
        }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    pub(crate) fn error(&self, code: ErrorCode, field: &'static str) -> FormatError {
        FormatError::new(self.format, code, field, self.offset())
    }

    pub(crate) fn take(
        &mut self,
        size: usize,
        field: &'static str,
    ) -> Result<&'a [u8], FormatError> {
        let end = self
            .at
            .checked_add(size)
            .filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.error(ErrorCode::Truncated, field));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn take_u64(
        &mut self,
        size: u64,
        field: &'static str,
    ) -> Result<&'a [u8], FormatError> {
        let size = usize::try_from(size).map_err(|_| self.error(ErrorCode::Truncated, field))?;
        self.take(size, field)
    }

    number!(u8, u8, from_le_bytes);
    number!(u16_le, u16, from_le_bytes);
    number!(u32_le, u32, from_le_bytes);
    number!(u64_le, u64, from_le_bytes);
    number!(u32_be, u32, from_be_bytes);
    number!(u64_be, u64, from_be_bytes);

    /// A reader over the next `u32le` length and that many bytes.
    pub(crate) fn prefixed(&mut self, field: &'static str) -> Result<Reader<'a>, FormatError> {
        let size = self.u32_le(field)?;
        let base = self.offset();
        let bytes = self.take_u64(u64::from(size), field)?;
        Ok(Reader::at(self.format, bytes, base))
    }

    pub(crate) fn prefixed_bytes(&mut self, field: &'static str) -> Result<&'a [u8], FormatError> {
        Ok(self.prefixed(field)?.bytes)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    /// Refuses what is left over.
    pub(crate) fn finish(&self, field: &'static str) -> Result<(), FormatError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.error(ErrorCode::Trailing, field))
        }
    }
}
