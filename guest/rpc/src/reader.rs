//! The reading side of a parcel. Nothing is allocated before the bytes for it are known to be there.

use crate::parcel::{
    pad, STABILITY_SYSTEM, STABILITY_UNDECLARED, STABILITY_VENDOR, STABILITY_VINTF, TYPE_BINDER,
};
use crate::status::{Exception, StatusCode};
use crate::wire::Address;
use alloc::string::String;
use alloc::vec::Vec;

/// Reads values in the order in which they were written; an error leaves the position where it was or behind the bad word.
#[derive(Clone, Debug)]
pub struct ParcelReader<'a> {
    data: &'a [u8],
    position: usize,
    objects: Option<&'a [u32]>,
}

type Result<T> = core::result::Result<T, StatusCode>;

impl<'a> ParcelReader<'a> {
    /// `objects`: the offsets of all binders in `data`, where the protocol tells them.
    pub(crate) fn new(data: &'a [u8], objects: Option<&'a Vec<u32>>) -> Self {
        Self {
            data,
            position: 0,
            objects: objects.map(Vec::as_slice),
        }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    pub fn size(&self) -> usize {
        self.data.len()
    }

    pub fn remaining(&self) -> usize {
        self.data.len().saturating_sub(self.position)
    }

    /// Moves within the parcel: to the end of a parcelable whose newer fields are unknown here. `BAD_VALUE` beyond the end.
    pub fn set_position(&mut self, position: usize) -> Result<()> {
        if position > self.data.len() {
            return Err(StatusCode::BAD_VALUE);
        }
        self.position = position;
        Ok(())
    }

    /// `length` bytes and their padding.
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let padded = pad(length);
        if padded > self.remaining() {
            return Err(StatusCode::NOT_ENOUGH_DATA);
        }
        let start = self.position;
        self.position = start + padded;
        self.data
            .get(start..start + length)
            .ok_or(StatusCode::NOT_ENOUGH_DATA)
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?
            .try_into()
            .map_err(|_| StatusCode::NOT_ENOUGH_DATA)
    }

    pub fn read_i32(&mut self) -> Result<i32> {
        self.word().map(i32::from_le_bytes)
    }
    pub fn read_u32(&mut self) -> Result<u32> {
        self.word().map(u32::from_le_bytes)
    }
    pub fn read_i64(&mut self) -> Result<i64> {
        self.word().map(i64::from_le_bytes)
    }
    pub fn read_u64(&mut self) -> Result<u64> {
        self.word().map(u64::from_le_bytes)
    }
    pub fn read_f32(&mut self) -> Result<f32> {
        self.word().map(f32::from_le_bytes)
    }
    pub fn read_f64(&mut self) -> Result<f64> {
        self.word().map(f64::from_le_bytes)
    }
    pub fn read_bool(&mut self) -> Result<bool> {
        self.read_i32().map(|value| value != 0)
    }
    /// One UTF-16 unit: the low half of its word, as Android reads it.
    pub fn read_char(&mut self) -> Result<u16> {
        self.read_u32().map(|value| (value & 0xffff) as u16)
    }
    /// AIDL's `byte`: the low 8 bits of its word, as Android reads it.
    pub fn read_byte(&mut self) -> Result<i8> {
        self.read_u32().map(|value| (value & 0xff) as u8 as i8)
    }

    /// The length of an array whose elements take at least `element_size` bytes each; `None` for null.
    pub fn read_length(&mut self, element_size: usize) -> Result<Option<usize>> {
        let length = self.read_i32()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| StatusCode::BAD_VALUE)?;
        match length.checked_mul(element_size) {
            Some(bytes) if bytes <= self.remaining() => Ok(Some(length)),
            _ => Err(StatusCode::NOT_ENOUGH_DATA),
        }
    }

    /// A `@nullable String` as UTF-16 units; the terminator has to be there.
    pub fn read_optional_utf16(&mut self) -> Result<Option<Vec<u16>>> {
        let Some(length) = self.read_length(2)? else {
            return Ok(None);
        };
        let bytes = self.take((length + 1) * 2)?;
        let mut units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        match units.pop() {
            Some(0) => Ok(Some(units)),
            _ => Err(StatusCode::BAD_VALUE),
        }
    }

    /// A `@nullable String`. `BAD_VALUE` for units that are no text (a surrogate alone).
    pub fn read_optional_string(&mut self) -> Result<Option<String>> {
        let Some(units) = self.read_optional_utf16()? else {
            return Ok(None);
        };
        String::from_utf16(&units)
            .map(Some)
            .map_err(|_| StatusCode::BAD_VALUE)
    }

    pub fn read_string(&mut self) -> Result<String> {
        self.read_optional_string()?
            .ok_or(StatusCode::UNEXPECTED_NULL)
    }

    /// A `@nullable byte[]`, borrowed from the parcel.
    pub fn read_optional_bytes(&mut self) -> Result<Option<&'a [u8]>> {
        match self.read_length(1)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// A `byte[]`, borrowed from the parcel.
    pub fn read_bytes(&mut self) -> Result<&'a [u8]> {
        self.read_optional_bytes()?
            .ok_or(StatusCode::UNEXPECTED_NULL)
    }

    /// Whether the parcel starts a call to this interface. Consumes the token. Anything else there is `PERMISSION_DENIED`, as
    /// from Android's servers in Rust and over the NDK.
    pub fn enforce_interface(&mut self, descriptor: &str) -> Result<()> {
        match self.read_optional_utf16() {
            Ok(Some(token)) if token.iter().copied().eq(descriptor.encode_utf16()) => Ok(()),
            _ => Err(StatusCode::PERMISSION_DENIED),
        }
    }

    /// A binder's address, or `None` for null. The session has to be told: see `ClientSession::acquire`.
    pub fn read_binder(&mut self) -> Result<Option<Address>> {
        let start = self.position;
        match self.read_i32()? {
            0 => match self.read_i32()? {
                STABILITY_UNDECLARED => Ok(None),
                _ => Err(StatusCode::BAD_TYPE),
            },
            TYPE_BINDER => {
                let listed = self.objects.is_none_or(|objects| {
                    u32::try_from(start).is_ok_and(|start| objects.binary_search(&start).is_ok())
                });
                if !listed {
                    return Err(StatusCode::BAD_VALUE);
                }
                let address = Address(self.read_u64()?);
                match self.read_i32()? {
                    STABILITY_VENDOR | STABILITY_SYSTEM | STABILITY_VINTF => Ok(Some(address)),
                    _ => Err(StatusCode::BAD_VALUE),
                }
            }
            // Among them file descriptors (2), which cannot travel over vsock.
            _ => Err(StatusCode::BAD_VALUE),
        }
    }

    /// The head of a reply: `Ok(Ok)` when the method returned and its values follow, `Ok(Err)` when it threw.
    pub fn read_status(&mut self) -> Result<core::result::Result<(), Exception>> {
        let code = self.read_i32()?;
        if code == Exception::HAS_REPLY_HEADER {
            self.skip_sized()?;
            return Ok(Ok(()));
        }
        if code == 0 {
            return Ok(Ok(()));
        }
        let message = self.read_optional_string()?;
        self.skip_sized()?; // the remote stack trace
        let mut service_specific = 0;
        match code {
            Exception::SERVICE_SPECIFIC => service_specific = self.read_i32()?,
            Exception::PARCELABLE => {
                self.read_i32()?;
            }
            _ => {}
        }
        Ok(Err(Exception {
            code,
            message,
            service_specific,
        }))
    }

    /// A block that starts with its own size, which counts the size word; 0 for "not there".
    fn skip_sized(&mut self) -> Result<()> {
        let start = self.position;
        let size = usize::try_from(self.read_i32()?).map_err(|_| StatusCode::BAD_VALUE)?;
        if size == 0 {
            return Ok(());
        }
        match start.checked_add(size) {
            Some(end) if end >= self.position && end <= self.data.len() => self.set_position(end),
            _ => Err(StatusCode::BAD_VALUE),
        }
    }
}

macro_rules! read_array {
    ($($(#[$doc:meta])* $name:ident, $element:ty, $size:literal, $read:ident;)*) => { impl ParcelReader<'_> { $(
        $(#[$doc])*
        pub fn $name(&mut self) -> Result<Option<Vec<$element>>> {
            let Some(length) = self.read_length($size)? else {
                return Ok(None);
            };
            (0..length).map(|_| self.$read()).collect::<Result<Vec<_>>>().map(Some)
        }
    )* } };
}

read_array! {
    read_i32_array, i32, 4, read_i32;
    read_u32_array, u32, 4, read_u32;
    read_i64_array, i64, 8, read_i64;
    read_u64_array, u64, 8, read_u64;
    read_f32_array, f32, 4, read_f32;
    read_f64_array, f64, 8, read_f64;
    /// `boolean[]`: 4 bytes an element.
    read_bool_array, bool, 4, read_bool;
    /// `char[]`: 4 bytes an element.
    read_char_array, u16, 4, read_char;
    /// `String[]` with null elements.
    read_string_array, Option<String>, 4, read_optional_string;
}
