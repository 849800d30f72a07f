//! `android/binder_parcel.h`, without the arrays: positions, scalars, strings, status headers. Objects are in `parcel_objects`.

use super::binder::AIBinder;
use super::code;
use crate::status::AStatus;
use alloc::boxed::Box;
use alloc::string::String;
use core::ffi::{c_char, c_void};
use core::ptr;
use microbuild_rpc::peer::Message;
use microbuild_rpc::{Parcel, ParcelReader, StatusCode};

/// `AParcel_stringAllocator`: room for a string and its terminator, or for null (length -1, no buffer).
pub type StringAllocator = unsafe extern "C" fn(*mut c_void, i32, *mut *mut c_char) -> bool;

/// A parcel as C code has it: one position for reading and writing.
pub struct AParcel {
    pub(super) message: Message<AIBinder>,
    /// The object that the parcel was prepared for, or null. It is compared and never followed.
    target: *const AIBinder,
}

impl Default for AParcel {
    fn default() -> Self {
        Self::for_target(ptr::null())
    }
}

impl AParcel {
    /// An empty parcel for the arguments of a call.
    pub fn for_target(target: *const AIBinder) -> Self {
        Self {
            message: Message::default(),
            target,
        }
    }

    /// What came from a peer or an own object, to be read from its start.
    pub fn received(message: Message<AIBinder>) -> Self {
        Self {
            message: message.rewound(),
            target: ptr::null(),
        }
    }

    pub fn into_message(self) -> Message<AIBinder> {
        self.message
    }

    pub fn is_for(&self, target: *const AIBinder) -> bool {
        ptr::eq(self.target, target)
    }

    /// Hands the parcel to C code.
    pub fn give(self) -> *mut Self {
        Box::into_raw(Box::new(self))
    }

    /// Takes a parcel back; `None` for null.
    ///
    /// # Safety
    /// `parcel` is null or comes from `give` and is given up.
    pub unsafe fn take(parcel: *mut Self) -> Option<Self> {
        if parcel.is_null() {
            return None;
        }
        // SAFETY: the caller's promise.
        Some(*unsafe { Box::from_raw(parcel) })
    }

    /// Writes where the position is.
    pub fn write(&mut self, write: impl FnOnce(&mut Parcel)) -> Result<(), StatusCode> {
        write(self.message.parcel_mut());
        Ok(())
    }

    /// Reads where the position is.
    pub fn read<R>(
        &mut self,
        read: impl FnOnce(&mut ParcelReader<'_>) -> Result<R, StatusCode>,
    ) -> Result<R, StatusCode> {
        self.read_message(|_, reader| read(reader))
    }

    pub(super) fn read_message<R>(
        &mut self,
        read: impl FnOnce(&Message<AIBinder>, &mut ParcelReader<'_>) -> Result<R, StatusCode>,
    ) -> Result<R, StatusCode> {
        let parcel = self.message.parcel();
        let mut reader = parcel.reader();
        reader.set_position(parcel.position())?;
        let result = read(&self.message, &mut reader);
        let position = reader.position();
        self.message.parcel_mut().set_position(position)?;
        result
    }

    fn size(&self) -> usize {
        self.message.parcel().data().len()
    }
}

/// Writes to a parcel of the caller's.
///
/// # Safety
/// `parcel` is null or a parcel that nobody else uses at the moment.
pub unsafe fn write(
    parcel: *mut AParcel,
    write: impl FnOnce(&mut Parcel),
) -> Result<(), StatusCode> {
    // SAFETY: the caller's promise; the borrow ends with this function.
    unsafe { parcel.as_mut() }
        .ok_or(StatusCode::UNEXPECTED_NULL)?
        .write(write)
}

/// Reads from a parcel of the caller's: const to C code, but its position moves.
///
/// # Safety
/// As for `write`. Every parcel that C code has a pointer to was made mutable.
pub unsafe fn read<R>(
    parcel: *const AParcel,
    read: impl FnOnce(&mut ParcelReader<'_>) -> Result<R, StatusCode>,
) -> Result<R, StatusCode> {
    // SAFETY: the caller's promise; the borrow ends with this function.
    unsafe { parcel.cast_mut().as_mut() }
        .ok_or(StatusCode::UNEXPECTED_NULL)?
        .read(read)
}

/// A new parcel, empty.
#[no_mangle]
pub extern "C" fn AParcel_create() -> *mut AParcel {
    AParcel::default().give()
}

/// # Safety
/// `parcel` is null or a parcel of the caller's, which gives it up.
#[no_mangle]
pub unsafe extern "C" fn AParcel_delete(parcel: *mut AParcel) {
    // SAFETY: the caller's promise.
    drop(unsafe { AParcel::take(parcel) });
}

/// # Safety
/// `parcel` is null or a parcel of the caller's.
#[no_mangle]
pub unsafe extern "C" fn AParcel_setDataPosition(parcel: *const AParcel, position: i32) -> i32 {
    // SAFETY: the caller's promise.
    let parcel = unsafe { parcel.cast_mut().as_mut() };
    code(match (parcel, usize::try_from(position)) {
        (Some(parcel), Ok(position)) => parcel.message.parcel_mut().set_position(position),
        (None, _) => Err(StatusCode::UNEXPECTED_NULL),
        (_, Err(_)) => Err(StatusCode::BAD_VALUE),
    })
}

/// # Safety
/// `parcel` is null or a parcel of the caller's.
#[no_mangle]
pub unsafe extern "C" fn AParcel_getDataPosition(parcel: *const AParcel) -> i32 {
    // SAFETY: the caller's promise.
    let parcel = unsafe { parcel.as_ref() };
    let position = parcel.map_or(0, |parcel| parcel.message.parcel().position());
    i32::try_from(position).unwrap_or(i32::MAX)
}

/// # Safety
/// `parcel` is null or a parcel of the caller's.
#[no_mangle]
pub unsafe extern "C" fn AParcel_getDataSize(parcel: *const AParcel) -> i32 {
    // SAFETY: the caller's promise.
    let size = unsafe { parcel.as_ref() }.map_or(0, AParcel::size);
    i32::try_from(size).unwrap_or(i32::MAX)
}

/// # Safety
/// `parcel` is a parcel of the caller's, `status` a status; either may be null.
#[no_mangle]
pub unsafe extern "C" fn AParcel_writeStatusHeader(
    parcel: *mut AParcel,
    status: *const AStatus,
) -> i32 {
    // SAFETY: the caller's promise.
    let (parcel, status) = unsafe { (parcel.as_mut(), status.as_ref()) };
    code(match (parcel, status) {
        (Some(parcel), Some(status)) => status.write_header(parcel),
        _ => Err(StatusCode::UNEXPECTED_NULL),
    })
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `status` has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AParcel_readStatusHeader(
    parcel: *const AParcel,
    status: *mut *mut AStatus,
) -> i32 {
    // SAFETY: the caller's promise.
    let parcel = unsafe { parcel.cast_mut().as_mut() };
    code(
        parcel
            .ok_or(StatusCode::UNEXPECTED_NULL)
            .and_then(AStatus::read_header)
            .map(|value| {
                // SAFETY: the caller's promise.
                unsafe { status.write(Box::into_raw(Box::new(value))) };
            }),
    )
}

/// The text of a string argument; `None` for null, which has length -1.
///
/// # Safety
/// `string` is null or has `length` bytes.
pub unsafe fn text<'a>(string: *const c_char, length: i32) -> Result<Option<&'a str>, StatusCode> {
    if string.is_null() {
        return if length == -1 {
            Ok(None)
        } else {
            Err(StatusCode::BAD_VALUE)
        };
    }
    let length = usize::try_from(length).map_err(|_| StatusCode::BAD_VALUE)?;
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(string.cast::<u8>(), length) };
    core::str::from_utf8(bytes)
        .map(Some)
        .map_err(|_| StatusCode::BAD_VALUE)
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `string` is null or has `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn AParcel_writeString(
    parcel: *mut AParcel,
    string: *const c_char,
    length: i32,
) -> i32 {
    // SAFETY: the caller's promise.
    let text = unsafe { text(string, length) };
    // SAFETY: the caller's promise.
    code(text.and_then(|text| unsafe { write(parcel, |parcel| parcel.write_optional_str(text)) }))
}

/// Hands a string to C code: asks for room, then fills it.
///
/// # Safety
/// `allocate` gives room for as many bytes as it is asked for.
pub unsafe fn give_string(
    string: Option<String>,
    allocate: impl FnOnce(i32, *mut *mut c_char) -> bool,
) -> Result<(), StatusCode> {
    let Some(string) = string else {
        return if allocate(-1, ptr::null_mut()) {
            Ok(())
        } else {
            Err(StatusCode::UNEXPECTED_NULL)
        };
    };
    let length = i32::try_from(string.len() + 1).map_err(|_| StatusCode::NO_MEMORY)?;
    let mut buffer: *mut c_char = ptr::null_mut();
    if !allocate(length, &raw mut buffer) || buffer.is_null() {
        return Err(StatusCode::NO_MEMORY);
    }
    // SAFETY: the room is as large as was asked for, and new, so no part of the string.
    unsafe { ptr::copy_nonoverlapping(string.as_ptr().cast(), buffer, string.len()) };
    // SAFETY: the last of those bytes.
    unsafe { buffer.add(string.len()).write(0) };
    Ok(())
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `allocator` is what its type says and takes `string_data`.
#[no_mangle]
pub unsafe extern "C" fn AParcel_readString(
    parcel: *const AParcel,
    string_data: *mut c_void,
    allocator: Option<StringAllocator>,
) -> i32 {
    let Some(allocator) = allocator else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    // SAFETY: the caller's promise.
    let string = unsafe { read(parcel, |reader| reader.read_optional_string()) };
    // SAFETY: the caller's promise.
    code(string.and_then(|string| unsafe {
        give_string(string, |length, buffer| {
            allocator(string_data, length, buffer)
        })
    }))
}

macro_rules! scalars {
    ($($write_name:ident, $read_name:ident, $type:ty, $write:ident, $read:ident;)*) => { $(
        /// # Safety
        /// `parcel` is null or a parcel of the caller's.
        #[no_mangle]
        pub unsafe extern "C" fn $write_name(parcel: *mut AParcel, value: $type) -> i32 {
            // SAFETY: the caller's promise.
            code(unsafe { write(parcel, |parcel| parcel.$write(value)) })
        }

        /// # Safety
        /// `parcel` is null or a parcel of the caller's; `value` has room for the value.
        #[no_mangle]
        pub unsafe extern "C" fn $read_name(parcel: *const AParcel, value: *mut $type) -> i32 {
            // SAFETY: the caller's promise.
            let result = unsafe { read(parcel, |reader| reader.$read()) };
            code(result.map(|result| {
                // SAFETY: the caller's promise.
                unsafe { value.write(result) };
            }))
        }
    )* };
}

scalars! {
    AParcel_writeInt32, AParcel_readInt32, i32, write_i32, read_i32;
    AParcel_writeUint32, AParcel_readUint32, u32, write_u32, read_u32;
    AParcel_writeInt64, AParcel_readInt64, i64, write_i64, read_i64;
    AParcel_writeUint64, AParcel_readUint64, u64, write_u64, read_u64;
    AParcel_writeFloat, AParcel_readFloat, f32, write_f32, read_f32;
    AParcel_writeDouble, AParcel_readDouble, f64, write_f64, read_f64;
    AParcel_writeBool, AParcel_readBool, bool, write_bool, read_bool;
    AParcel_writeChar, AParcel_readChar, u16, write_char, read_char;
    AParcel_writeByte, AParcel_readByte, i8, write_byte, read_byte;
}
