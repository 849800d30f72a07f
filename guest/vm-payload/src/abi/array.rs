//! `android/binder_parcel.h`, the arrays. C code owns them: the functions here ask it for room and for elements.

use super::code;
use super::parcel::{give_string, read, text, write, AParcel};
use alloc::vec::Vec;
use core::ffi::{c_char, c_void};
use core::ptr;
use microbuild_rpc::{Parcel, ParcelReader, StatusCode};

/// `AParcel_<type>ArrayAllocator`: room for so many elements, or for null (length -1).
type Allocator<T> = unsafe extern "C" fn(*mut c_void, i32, *mut *mut T) -> bool;
/// The same where C code takes the elements one by one.
type ElementwiseAllocator = unsafe extern "C" fn(*mut c_void, i32) -> bool;

/// The length of a non-null array that C code has, `None` for null, which has length -1.
fn length_to_write(length: i32) -> Result<Option<usize>, StatusCode> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length)
            .map(Some)
            .map_err(|_| StatusCode::BAD_VALUE),
    }
}

/// What Android says to an array that is longer than its parcel.
fn too_long(status: StatusCode) -> StatusCode {
    match status {
        StatusCode::NOT_ENOUGH_DATA => StatusCode::NO_MEMORY,
        other => other,
    }
}

/// Writes an array that lies in memory as C arrays do.
///
/// # Safety
/// `parcel` is null or a parcel of the caller's; `data` is null or has `length` elements.
unsafe fn write_array<T>(
    parcel: *mut AParcel,
    data: *const T,
    length: i32,
    write_elements: impl FnOnce(&mut Parcel, &[T]),
) -> Result<(), StatusCode> {
    let elements: Option<&[T]> = match (length_to_write(length)?, data.is_null()) {
        (Some(0), _) => Some(&[]),
        (None, true) => None,
        (Some(_), true) | (None, false) => return Err(StatusCode::BAD_VALUE),
        // SAFETY: the caller's promise.
        (Some(length), false) => Some(unsafe { core::slice::from_raw_parts(data, length) }),
    };
    // SAFETY: the caller's promise.
    unsafe {
        write(parcel, |parcel| match elements {
            Some(elements) => write_elements(parcel, elements),
            None => parcel.write_null(),
        })
    }
}

/// Reads an array into memory of the caller's.
///
/// # Safety
/// `parcel` is null or a parcel of the caller's; `allocator` is what its type says and takes `array_data`.
unsafe fn read_array<T: Copy>(
    parcel: *const AParcel,
    array_data: *mut c_void,
    allocator: Option<Allocator<T>>,
    read_elements: impl FnOnce(&mut ParcelReader<'_>) -> Result<Option<Vec<T>>, StatusCode>,
) -> Result<(), StatusCode> {
    let allocator = allocator.ok_or(StatusCode::UNEXPECTED_NULL)?;
    // SAFETY: the caller's promise.
    let elements = unsafe { read(parcel, read_elements) }.map_err(too_long)?;
    let mut buffer: *mut T = ptr::null_mut();
    let Some(elements) = elements else {
        // SAFETY: the caller's promise.
        let accepted = unsafe { allocator(array_data, -1, &raw mut buffer) };
        return if accepted {
            Ok(())
        } else {
            Err(StatusCode::UNEXPECTED_NULL)
        };
    };
    let length = i32::try_from(elements.len()).map_err(|_| StatusCode::NO_MEMORY)?;
    // SAFETY: the caller's promise.
    let allocated = unsafe { allocator(array_data, length, &raw mut buffer) };
    if !allocated || (length > 0 && buffer.is_null()) {
        return Err(StatusCode::NO_MEMORY);
    }
    if length > 0 {
        // SAFETY: the room is as large as was asked for, and is not in our vector.
        unsafe { ptr::copy_nonoverlapping(elements.as_ptr(), buffer, elements.len()) };
    }
    Ok(())
}

fn write_byte_array(parcel: &mut Parcel, elements: &[i8]) {
    let bytes: Vec<u8> = elements.iter().map(|byte| byte.cast_unsigned()).collect();
    parcel.write_bytes(&bytes);
}

fn read_byte_array(reader: &mut ParcelReader<'_>) -> Result<Option<Vec<i8>>, StatusCode> {
    let bytes = reader.read_optional_bytes()?;
    Ok(bytes.map(|bytes| bytes.iter().map(|byte| byte.cast_signed()).collect()))
}

macro_rules! arrays {
    ($($write_name:ident, $read_name:ident, $type:ty, $write:expr, $read:expr;)*) => { $(
        /// # Safety
        /// `parcel` is null or a parcel of the caller's; `data` is null or has `length` elements.
        #[no_mangle]
        pub unsafe extern "C" fn $write_name(parcel: *mut AParcel, data: *const $type, length: i32) -> i32 {
            // SAFETY: the caller's promise.
            code(unsafe { write_array(parcel, data, length, $write) })
        }

        /// # Safety
        /// `parcel` is null or a parcel of the caller's; `allocator` is what its type says and takes `array_data`.
        #[no_mangle]
        pub unsafe extern "C" fn $read_name(
            parcel: *const AParcel,
            array_data: *mut c_void,
            allocator: Option<Allocator<$type>>,
        ) -> i32 {
            // SAFETY: the caller's promise.
            code(unsafe { read_array(parcel, array_data, allocator, $read) })
        }
    )* };
}

arrays! {
    AParcel_writeInt32Array, AParcel_readInt32Array, i32, Parcel::write_i32_array, |r| r.read_i32_array();
    AParcel_writeUint32Array, AParcel_readUint32Array, u32, Parcel::write_u32_array, |r| r.read_u32_array();
    AParcel_writeInt64Array, AParcel_readInt64Array, i64, Parcel::write_i64_array, |r| r.read_i64_array();
    AParcel_writeUint64Array, AParcel_readUint64Array, u64, Parcel::write_u64_array, |r| r.read_u64_array();
    AParcel_writeFloatArray, AParcel_readFloatArray, f32, Parcel::write_f32_array, |r| r.read_f32_array();
    AParcel_writeDoubleArray, AParcel_readDoubleArray, f64, Parcel::write_f64_array, |r| r.read_f64_array();
    AParcel_writeCharArray, AParcel_readCharArray, u16, Parcel::write_char_array, |r| r.read_char_array();
    AParcel_writeByteArray, AParcel_readByteArray, i8, write_byte_array, read_byte_array;
}

/// Writes an array whose elements C code gives one by one.
///
/// # Safety
/// `parcel` is null or a parcel of the caller's.
unsafe fn write_elementwise(
    parcel: *mut AParcel,
    length: i32,
    mut element: impl FnMut(usize) -> Result<(), StatusCode>,
) -> Result<(), StatusCode> {
    let length = length_to_write(length)?;
    // SAFETY: the caller's promise.
    unsafe {
        write(parcel, |parcel| match length {
            Some(length) => parcel.write_length(length),
            None => parcel.write_null(),
        })
    }?;
    (0..length.unwrap_or(0)).try_for_each(&mut element)
}

/// Reads an array whose elements C code takes one by one, each at least 4 bytes in the parcel.
///
/// # Safety
/// `parcel` is null or a parcel of the caller's; `allocator` is what its type says and takes `array_data`.
unsafe fn read_elementwise(
    parcel: *const AParcel,
    array_data: *mut c_void,
    allocator: Option<ElementwiseAllocator>,
    mut element: impl FnMut(usize) -> Result<(), StatusCode>,
) -> Result<(), StatusCode> {
    let allocator = allocator.ok_or(StatusCode::UNEXPECTED_NULL)?;
    // SAFETY: the caller's promise.
    let length = unsafe { read(parcel, |reader| reader.read_length(4)) };
    let Some(length) = length.map_err(too_long)? else {
        // SAFETY: the caller's promise.
        let accepted = unsafe { allocator(array_data, -1) };
        return if accepted {
            Ok(())
        } else {
            Err(StatusCode::UNEXPECTED_NULL)
        };
    };
    let count = i32::try_from(length).map_err(|_| StatusCode::NO_MEMORY)?;
    // SAFETY: the caller's promise.
    if !unsafe { allocator(array_data, count) } {
        return Err(StatusCode::NO_MEMORY);
    }
    (0..length).try_for_each(&mut element)
}

type BoolGetter = unsafe extern "C" fn(*const c_void, usize) -> bool;
type BoolSetter = unsafe extern "C" fn(*mut c_void, usize, bool);

/// # Safety
/// `parcel` is null or a parcel of the caller's; `getter` is what its type says and takes `array_data`.
#[no_mangle]
pub unsafe extern "C" fn AParcel_writeBoolArray(
    parcel: *mut AParcel,
    array_data: *const c_void,
    length: i32,
    getter: Option<BoolGetter>,
) -> i32 {
    let Some(getter) = getter else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    // SAFETY: the caller's promise.
    code(unsafe {
        write_elementwise(parcel, length, |index| {
            let value = getter(array_data, index);
            write(parcel, |parcel| parcel.write_bool(value))
        })
    })
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; the functions are what their types say and take `array_data`.
#[no_mangle]
pub unsafe extern "C" fn AParcel_readBoolArray(
    parcel: *const AParcel,
    array_data: *mut c_void,
    allocator: Option<ElementwiseAllocator>,
    setter: Option<BoolSetter>,
) -> i32 {
    let Some(setter) = setter else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    // SAFETY: the caller's promise.
    code(unsafe {
        read_elementwise(parcel, array_data, allocator, |index| {
            let value = read(parcel, |reader| reader.read_bool())?;
            setter(array_data, index, value);
            Ok(())
        })
    })
}

type StringGetter = unsafe extern "C" fn(*const c_void, usize, *mut i32) -> *const c_char;
type StringElementAllocator =
    unsafe extern "C" fn(*mut c_void, usize, i32, *mut *mut c_char) -> bool;

/// # Safety
/// `parcel` is null or a parcel of the caller's; `getter` is what its type says and takes `array_data`.
#[no_mangle]
pub unsafe extern "C" fn AParcel_writeStringArray(
    parcel: *mut AParcel,
    array_data: *const c_void,
    length: i32,
    getter: Option<StringGetter>,
) -> i32 {
    let Some(getter) = getter else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    // SAFETY: the caller's promise; the string is used before the getter is called again.
    code(unsafe {
        write_elementwise(parcel, length, |index| {
            let mut length = 0;
            let string = getter(array_data, index, &raw mut length);
            let text = text(string, length)?;
            write(parcel, |parcel| parcel.write_optional_str(text))
        })
    })
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; the functions are what their types say and take `array_data`.
#[no_mangle]
pub unsafe extern "C" fn AParcel_readStringArray(
    parcel: *const AParcel,
    array_data: *mut c_void,
    allocator: Option<ElementwiseAllocator>,
    element_allocator: Option<StringElementAllocator>,
) -> i32 {
    let Some(element_allocator) = element_allocator else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    // SAFETY: the caller's promise.
    code(unsafe {
        read_elementwise(parcel, array_data, allocator, |index| {
            let string = read(parcel, |reader| reader.read_optional_string())?;
            give_string(string, |length, buffer| {
                element_allocator(array_data, index, length, buffer)
            })
        })
    })
}

type WriteElement = unsafe extern "C" fn(*mut AParcel, *const c_void, usize) -> i32;
type ReadElement = unsafe extern "C" fn(*const AParcel, *mut c_void, usize) -> i32;

fn result(status: i32) -> Result<(), StatusCode> {
    match StatusCode(status) {
        StatusCode::OK => Ok(()),
        status => Err(status),
    }
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `writer` is what its type says and takes `array_data`.
#[no_mangle]
pub unsafe extern "C" fn AParcel_writeParcelableArray(
    parcel: *mut AParcel,
    array_data: *const c_void,
    length: i32,
    writer: Option<WriteElement>,
) -> i32 {
    let Some(writer) = writer else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    // SAFETY: the caller's promise; no borrow of the parcel is alive while its own code writes to it.
    code(unsafe {
        write_elementwise(parcel, length, |index| {
            result(writer(parcel, array_data, index))
        })
    })
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; the functions are what their types say and take `array_data`.
#[no_mangle]
pub unsafe extern "C" fn AParcel_readParcelableArray(
    parcel: *const AParcel,
    array_data: *mut c_void,
    allocator: Option<ElementwiseAllocator>,
    reader: Option<ReadElement>,
) -> i32 {
    let Some(reader) = reader else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    // SAFETY: the caller's promise; no borrow of the parcel is alive while its own code reads from it.
    code(unsafe {
        read_elementwise(parcel, array_data, allocator, |index| {
            result(reader(parcel, array_data, index))
        })
    })
}
