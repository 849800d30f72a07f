//! The writing side of a parcel: values in order, each padded to 4 bytes. There is no header of any kind.

use crate::reader::ParcelReader;
use crate::status::{Exception, StatusCode};
use crate::wire::Address;
use alloc::vec::Vec;

/// The type word of a binder in a parcel; a null one has 0.
pub(crate) const TYPE_BINDER: i32 = 1;
/// The type word of a file descriptor, which cannot travel over vsock.
pub(crate) const TYPE_FILE_DESCRIPTOR: i32 = 2;
/// What a binder may be declared as: nothing only for null; "system" is what host libraries and the NDK write.
pub(crate) const STABILITY_UNDECLARED: i32 = 0;
pub(crate) const STABILITY_VENDOR: i32 = 3;
pub(crate) const STABILITY_SYSTEM: i32 = 12;
pub(crate) const STABILITY_VINTF: i32 = 63;

/// A message body: bytes, and the offsets of the binders among them (which only protocol 2 puts on the wire).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    data: Vec<u8>,
    objects: Vec<u32>,
    position: usize,
    /// False for a parcel received at protocol 0 or 1, where nobody lists the binders.
    lists_objects: bool,
}

impl Default for Parcel {
    fn default() -> Self {
        Self::new()
    }
}

pub(crate) fn pad(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// A count as AIDL writes it. A parcel that this would not fit is a thousand times too long to be sent.
fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

impl Parcel {
    pub const fn new() -> Self {
        Self {
            data: Vec::new(),
            objects: Vec::new(),
            position: 0,
            lists_objects: true,
        }
    }

    /// A request to a method of the interface with this descriptor.
    pub fn request(descriptor: &str) -> Self {
        let mut parcel = Self::new();
        parcel.write_str(descriptor);
        parcel
    }

    /// A reply of a method that did not throw; the return value and out parameters follow.
    pub fn reply() -> Self {
        let mut parcel = Self::new();
        parcel.write_i32(0);
        parcel
    }

    pub(crate) fn received(data: Vec<u8>, objects: Vec<u32>, lists_objects: bool) -> Self {
        Self {
            data,
            objects,
            position: 0,
            lists_objects,
        }
    }

    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Offsets of the non-null binders, ascending.
    pub fn objects(&self) -> &[u32] {
        &self.objects
    }

    pub fn reader(&self) -> ParcelReader<'_> {
        ParcelReader::new(&self.data, self.lists_objects.then_some(&self.objects))
    }

    /// Where the next value is written: the end, unless moved back.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Moves to an earlier position, to write a size that is known only later. `BAD_VALUE` beyond the end.
    pub fn set_position(&mut self, position: usize) -> Result<(), StatusCode> {
        if position > self.data.len() {
            return Err(StatusCode::BAD_VALUE);
        }
        self.position = position;
        Ok(())
    }

    /// Bytes and zeros up to the next multiple of 4, over what is there or beyond it.
    fn put(&mut self, bytes: &[u8]) {
        let end = self.position.saturating_add(pad(bytes.len()));
        if end > self.data.len() {
            self.data.resize(end, 0);
        }
        let (value, padding) = self.data[self.position..end].split_at_mut(bytes.len());
        value.copy_from_slice(bytes);
        padding.fill(0);
        self.position = end;
    }

    /// Bytes as they are, such as a part of another parcel. Nothing is padded.
    pub fn write_raw(&mut self, bytes: &[u8]) {
        let end = self.position.saturating_add(bytes.len());
        if end > self.data.len() {
            self.data.resize(end, 0);
        }
        self.data[self.position..end].copy_from_slice(bytes);
        self.position = end;
    }

    pub fn write_i32(&mut self, value: i32) {
        self.put(&value.to_le_bytes());
    }
    pub fn write_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }
    pub fn write_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }
    pub fn write_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }
    pub fn write_f32(&mut self, value: f32) {
        self.put(&value.to_le_bytes());
    }
    pub fn write_f64(&mut self, value: f64) {
        self.put(&value.to_le_bytes());
    }
    pub fn write_bool(&mut self, value: bool) {
        self.write_i32(i32::from(value));
    }
    /// One UTF-16 unit.
    pub fn write_char(&mut self, value: u16) {
        self.write_i32(i32::from(value));
    }
    /// AIDL's `byte`, which is signed.
    pub fn write_byte(&mut self, value: i8) {
        self.write_i32(i32::from(value));
    }

    pub fn write_str(&mut self, value: &str) {
        let units: Vec<u16> = value.encode_utf16().collect();
        self.write_utf16(&units);
    }

    /// A `@nullable String`.
    pub fn write_optional_str(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.write_str(value),
            None => self.write_null(),
        }
    }

    /// A String given as UTF-16 units.
    pub fn write_utf16(&mut self, units: &[u16]) {
        self.write_i32(count(units.len()));
        let mut bytes = Vec::with_capacity((units.len() + 1) * 2);
        for unit in units {
            bytes.extend_from_slice(&unit.to_le_bytes());
        }
        bytes.extend_from_slice(&[0, 0]);
        self.put(&bytes);
    }

    /// The null of a string or an array.
    pub fn write_null(&mut self) {
        self.write_i32(-1);
    }

    /// The length of an array whose elements the caller writes next.
    pub fn write_length(&mut self, length: usize) {
        self.write_i32(count(length));
    }

    /// `byte[]`: packed, unlike the scalar.
    pub fn write_bytes(&mut self, value: &[u8]) {
        self.write_length(value.len());
        self.put(value);
    }

    /// A null binder.
    pub fn write_null_binder(&mut self) {
        self.write_i32(0);
        self.write_i32(0);
    }

    /// A binder by its address. The session that sends it has to count the reference.
    pub(crate) fn write_binder(&mut self, address: Address) {
        // The table is 32 bit wide, and so is every body that may be sent.
        if let Ok(position) = u32::try_from(self.position) {
            self.objects.push(position);
        }
        self.write_i32(TYPE_BINDER);
        self.write_u64(address.0);
        self.write_i32(STABILITY_SYSTEM);
    }

    /// The head of a reply: `Ok` or an exception.
    pub fn write_status(&mut self, status: Result<(), &Exception>) {
        let Err(exception) = status else {
            return self.write_i32(0);
        };
        self.write_i32(exception.code);
        self.write_str(exception.message.as_deref().unwrap_or(""));
        self.write_i32(0); // no remote stack trace
        match exception.code {
            Exception::SERVICE_SPECIFIC => self.write_i32(exception.service_specific),
            Exception::PARCELABLE => self.write_i32(0),
            _ => {}
        }
    }
}

macro_rules! write_array {
    ($($(#[$doc:meta])* $name:ident, $element:ty, $write:ident;)*) => { impl Parcel { $(
        $(#[$doc])*
        pub fn $name(&mut self, values: &[$element]) {
            self.write_length(values.len());
            for value in values {
                self.$write(*value);
            }
        }
    )* } };
}

write_array! {
    write_i32_array, i32, write_i32;
    write_u32_array, u32, write_u32;
    write_i64_array, i64, write_i64;
    write_u64_array, u64, write_u64;
    write_f32_array, f32, write_f32;
    write_f64_array, f64, write_f64;
    /// `boolean[]`: 4 bytes an element.
    write_bool_array, bool, write_bool;
    /// `char[]`: 4 bytes an element.
    write_char_array, u16, write_char;
    /// `String[]`, with null for `None`.
    write_str_array, Option<&str>, write_optional_str;
}
