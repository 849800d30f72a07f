//! The reading side. Everything is bounded by the bytes that are there, and by a depth.

use crate::binder::Binder;
use crate::service::Source;
use crate::value::{Nullable, Value};
use crate::ParcelResult;
use alloc::vec::Vec;
use microbuild_rpc::{Exception, ParcelReader, StatusCode};

/// Parcelables in parcelables. What is declared nests less; a deeper one is an attack on the stack.
const MAX_DEPTH: u32 = 96;
/// The largest body of any call: the answer with an `out` array has to fit into one too.
const MAX_OUT_BYTES: usize = 614_400;

/// Reads values in the order in which they were written.
pub struct Decoder<'a> {
    reader: ParcelReader<'a>,
    source: &'a dyn Source,
    depth: u32,
}

/// Where the fields of a parcelable end.
pub struct FieldsEnd {
    end: usize,
}

impl<'a> Decoder<'a> {
    /// At the first value of a parcel.
    pub fn new(source: &'a dyn Source) -> Self {
        Self {
            reader: source.parcel().reader(),
            source,
            depth: 0,
        }
    }

    pub fn reader(&mut self) -> &mut ParcelReader<'a> {
        &mut self.reader
    }

    /// # Errors
    /// `NOT_ENOUGH_DATA`, `BAD_VALUE`, `BAD_TYPE` for what is no such value; `UNEXPECTED_NULL` for a null.
    pub fn read<T: Value>(&mut self) -> ParcelResult<T> {
        T::decode(self)
    }

    /// # Errors
    /// As [`Self::read`], but for the null.
    pub fn read_nullable<T: Nullable>(&mut self) -> ParcelResult<Option<T>> {
        T::decode_nullable(self)
    }

    /// The head of a reply.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_status(&mut self) -> ParcelResult<core::result::Result<(), Exception>> {
        self.reader.read_status()
    }

    /// # Errors
    /// As [`Self::read`].
    pub fn read_binder(&mut self) -> ParcelResult<Option<Binder>> {
        self.source.read_binder(&mut self.reader)
    }

    /// An `out` array as the caller wants it: `None` for null.
    ///
    /// # Errors
    /// `BAD_VALUE` for a length that no answer could have.
    pub fn read_out_array<T: Default + Value>(&mut self) -> ParcelResult<Option<Vec<T>>> {
        let length = self.reader.read_i32()?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(length) if length <= MAX_OUT_BYTES / T::MIN_SIZE => {
                Ok(Some((0..length).map(|_| T::default()).collect()))
            }
            _ => Err(StatusCode::BAD_VALUE),
        }
    }

    /// Runs `read` a level deeper.
    pub(crate) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> ParcelResult<T>,
    ) -> ParcelResult<T> {
        if self.depth >= MAX_DEPTH {
            return Err(StatusCode::BAD_VALUE);
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Reads the size in front of the fields of a parcelable.
    ///
    /// # Errors
    /// `BAD_VALUE` for a size that cannot be.
    pub fn begin_sized(&mut self) -> ParcelResult<FieldsEnd> {
        let start = self.reader.position();
        let size = usize::try_from(self.reader.read_i32()?).map_err(|_| StatusCode::BAD_VALUE)?;
        match start.checked_add(size) {
            Some(end) if size >= 4 && end <= self.reader.size() => Ok(FieldsEnd { end }),
            _ => Err(StatusCode::BAD_VALUE),
        }
    }

    /// Whether the sender had the next field: older ones know fewer.
    pub fn has_more(&self, fields: &FieldsEnd) -> bool {
        self.reader.position() < fields.end
    }

    /// Skips fields that only newer senders know.
    ///
    /// # Errors
    /// `BAD_VALUE` when a field reached beyond the size.
    pub fn end_sized(&mut self, fields: FieldsEnd) -> ParcelResult<()> {
        if self.reader.position() > fields.end {
            return Err(StatusCode::BAD_VALUE);
        }
        self.reader.set_position(fields.end)
    }
}
