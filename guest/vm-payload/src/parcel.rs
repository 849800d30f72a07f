//! `AParcel`: a parcel with one position for reading and writing.

use microbuild_rpc::{Parcel, ParcelReader, StatusCode};

/// What C code holds by a pointer: the arguments of a call (read-only), or a reply under construction.
pub enum AParcel<'a> {
    In(ParcelReader<'a>),
    Out(Parcel),
}

impl AParcel<'_> {
    /// Writes where the position is.
    pub fn write(&mut self, write: impl FnOnce(&mut Parcel)) -> Result<(), StatusCode> {
        match self {
            Self::In(_) => Err(StatusCode::INVALID_OPERATION),
            Self::Out(parcel) => {
                write(parcel);
                Ok(())
            }
        }
    }

    /// Reads where the position is.
    pub fn read<R>(
        &mut self,
        read: impl FnOnce(&mut ParcelReader<'_>) -> Result<R, StatusCode>,
    ) -> Result<R, StatusCode> {
        match self {
            Self::In(reader) => read(reader),
            Self::Out(parcel) => {
                let mut reader = parcel.reader();
                reader.set_position(parcel.position())?;
                let result = read(&mut reader);
                let position = reader.position();
                parcel.set_position(position)?;
                result
            }
        }
    }

    pub fn position(&self) -> usize {
        match self {
            Self::In(reader) => reader.position(),
            Self::Out(parcel) => parcel.position(),
        }
    }

    pub fn set_position(&mut self, position: usize) -> Result<(), StatusCode> {
        match self {
            Self::In(reader) => reader.set_position(position),
            Self::Out(parcel) => parcel.set_position(position),
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Self::In(reader) => reader.size(),
            Self::Out(parcel) => parcel.data().len(),
        }
    }
}
