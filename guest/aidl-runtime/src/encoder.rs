//! The writing side: a parcel that grows, and the objects in it.

use crate::binder::Binder;
use crate::service::Source;
use crate::value::{Nullable, Value};
use crate::ParcelResult;
use alloc::vec::Vec;
use microbuild_rpc::{Exception, Parcel, ParcelReader, StatusCode};

/// The type word of an object in a parcel, and the stability that every library of a host writes: "system".
const TYPE_BINDER: i32 = 1;
const STABILITY_SYSTEM: i32 = 12;
/// Bytes of an object in a parcel: type, address, stability.
const BINDER_SIZE: usize = 16;

/// A parcel being written. Objects have no address yet: the session that sends it gives them theirs.
#[derive(Default)]
pub struct Encoder {
    parcel: Parcel,
    binders: Vec<(usize, Binder)>,
}

impl Encoder {
    /// A call to a method of the interface with this descriptor.
    pub fn request(descriptor: &str) -> Self {
        Self::over(Parcel::request(descriptor))
    }

    /// The reply of a method that returned: its value and out parameters follow.
    pub fn reply() -> Self {
        Self::over(Parcel::reply())
    }

    /// The reply of a method that threw.
    pub fn exception(exception: &Exception) -> Self {
        let mut parcel = Parcel::new();
        parcel.write_status(Err(exception));
        Self::over(parcel)
    }

    fn over(parcel: Parcel) -> Self {
        Self {
            parcel,
            binders: Vec::new(),
        }
    }

    pub fn parcel(&mut self) -> &mut Parcel {
        &mut self.parcel
    }

    /// The parcel, and the objects that are to be put into it, by their offsets.
    pub fn into_parts(self) -> (Parcel, Vec<(usize, Binder)>) {
        (self.parcel, self.binders)
    }

    /// # Errors
    /// `UNEXPECTED_NULL` for a value that lacks an object which has to be there.
    pub fn write<T: Value>(&mut self, value: &T) -> ParcelResult<()> {
        value.encode(self)
    }

    /// # Errors
    /// As [`Self::write`].
    pub fn write_nullable<T: Nullable>(&mut self, value: Option<&T>) -> ParcelResult<()> {
        match value {
            Some(value) => value.encode(self),
            None => {
                T::encode_null(self);
                Ok(())
            }
        }
    }

    pub fn write_str(&mut self, value: &str) {
        self.parcel.write_str(value);
    }

    pub fn write_nullable_str(&mut self, value: Option<&str>) {
        self.parcel.write_optional_str(value);
    }

    /// An array `T[]` or `List<T>`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_slice<T: Value>(&mut self, values: &[T]) -> ParcelResult<()> {
        T::encode_slice(values, self)
    }

    /// # Errors
    /// As [`Self::write`].
    pub fn write_nullable_slice<T: Value>(&mut self, values: Option<&[T]>) -> ParcelResult<()> {
        match values {
            Some(values) => T::encode_slice(values, self),
            None => {
                self.parcel.write_null();
                Ok(())
            }
        }
    }

    /// The length that the caller gives an `out` array; the callee fills it.
    pub fn write_length(&mut self, length: Option<usize>) {
        match length {
            Some(length) => self.parcel.write_length(length),
            None => self.parcel.write_null(),
        }
    }

    pub fn write_binder(&mut self, binder: &Binder) {
        self.binders.push((self.parcel.position(), binder.clone()));
        self.parcel.write_i32(TYPE_BINDER);
        self.parcel.write_u64(0);
        self.parcel.write_i32(STABILITY_SYSTEM);
    }

    /// The fields of a parcelable, behind their size.
    ///
    /// # Errors
    /// What `fields` gives.
    pub fn sized(
        &mut self,
        fields: impl FnOnce(&mut Self) -> ParcelResult<()>,
    ) -> ParcelResult<()> {
        let start = self.parcel.position();
        self.parcel.write_i32(0);
        fields(self)?;
        let end = self.parcel.position();
        let size = i32::try_from(end - start).map_err(|_| StatusCode::BAD_VALUE)?;
        self.parcel.set_position(start)?;
        self.parcel.write_i32(size);
        self.parcel.set_position(end)
    }
}

/// A call within the process is read as it was written.
impl Source for Encoder {
    fn parcel(&self) -> &Parcel {
        &self.parcel
    }

    fn read_binder(&self, reader: &mut ParcelReader<'_>) -> ParcelResult<Option<Binder>> {
        let start = reader.position();
        if let Some((_, binder)) = self.binders.iter().find(|(at, _)| *at == start) {
            reader.set_position(start + BINDER_SIZE)?;
            return Ok(Some(binder.clone()));
        }
        match reader.read_binder()? {
            None => Ok(None),
            Some(_) => Err(StatusCode::BAD_TYPE),
        }
    }
}
