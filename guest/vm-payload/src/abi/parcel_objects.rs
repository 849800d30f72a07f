//! `android/binder_parcel.h`: objects, file descriptors, and parcels as a whole.

use super::binder::{give, share, AIBinder};
use super::code;
use super::parcel::{read, write, AParcel};
use core::ffi::c_int;
use core::ptr;
use microbuild_rpc::peer::Message;
use microbuild_rpc::StatusCode;

/// A borrowed parcel of the caller's.
///
/// # Safety
/// `parcel` is null or a parcel that nobody else uses at the moment.
unsafe fn borrow<'a>(parcel: *const AParcel) -> Result<&'a mut AParcel, StatusCode> {
    // SAFETY: the caller's promise. Every parcel that C code has a pointer to was made mutable.
    unsafe { parcel.cast_mut().as_mut() }.ok_or(StatusCode::UNEXPECTED_NULL)
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AParcel_writeStrongBinder(
    parcel: *mut AParcel,
    binder: *mut AIBinder,
) -> i32 {
    // SAFETY: the caller's promise.
    let (parcel, binder) = unsafe { (borrow(parcel), share(binder)) };
    code(parcel.map(|parcel| parcel.message.write_object(binder.as_ref())))
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `binder` has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AParcel_readStrongBinder(
    parcel: *const AParcel,
    binder: *mut *mut AIBinder,
) -> i32 {
    // SAFETY: the caller's promise.
    let object = unsafe { borrow(parcel) }
        .and_then(|parcel| parcel.read_message(|message, reader| message.read_object(reader)));
    code(object.map(|object| {
        // SAFETY: the caller's promise.
        unsafe { binder.write(give(object)) };
    }))
}

/// # Safety
/// `parcel` is null or a parcel of the caller's.
#[no_mangle]
pub unsafe extern "C" fn AParcel_writeParcelFileDescriptor(parcel: *mut AParcel, fd: c_int) -> i32 {
    match fd {
        // SAFETY: the caller's promise.
        -1 => code(unsafe { write(parcel, |parcel| parcel.write_i32(0)) }),
        ..0 => StatusCode::UNKNOWN_ERROR.0,
        _ => StatusCode::FDS_NOT_ALLOWED.0,
    }
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `fd` has room for a number.
#[no_mangle]
pub unsafe extern "C" fn AParcel_readParcelFileDescriptor(
    parcel: *const AParcel,
    fd: *mut c_int,
) -> i32 {
    // SAFETY: the caller's promise.
    let present = unsafe { read(parcel, |reader| reader.read_i32()) };
    code(present.and_then(|present| match present {
        0 => {
            // SAFETY: the caller's promise.
            unsafe { fd.write(-1) };
            Ok(())
        }
        _ => Err(StatusCode::BAD_TYPE), // no descriptor can have come here
    }))
}

/// # Safety
/// Takes any pointer.
#[no_mangle]
pub unsafe extern "C" fn AParcel_getAllowFds(_parcel: *const AParcel) -> bool {
    false
}

/// Nothing to do: received bytes are overwritten by nobody and logged by nobody.
///
/// # Safety
/// Takes any pointer.
#[no_mangle]
pub unsafe extern "C" fn AParcel_markSensitive(_parcel: *const AParcel) {}

/// # Safety
/// `parcel` is null or a parcel of the caller's.
#[no_mangle]
pub unsafe extern "C" fn AParcel_reset(parcel: *mut AParcel) -> i32 {
    // SAFETY: the caller's promise.
    code(unsafe { borrow(parcel) }.map(|parcel| parcel.message = Message::default()))
}

/// # Safety
/// The pointers are null or parcels of the caller's, not the same.
#[no_mangle]
pub unsafe extern "C" fn AParcel_appendFrom(
    from: *const AParcel,
    to: *mut AParcel,
    start: i32,
    size: i32,
) -> i32 {
    let (Ok(start), Ok(size)) = (usize::try_from(start), usize::try_from(size)) else {
        return StatusCode::BAD_VALUE.0;
    };
    if ptr::eq(from, to) {
        return StatusCode::BAD_VALUE.0;
    }
    // SAFETY: the caller's promise; they are two.
    let (from, to) = unsafe { (borrow(from), borrow(to)) };
    code(from.and_then(|from| to?.message.append(&from.message, start, size)))
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `buffer` has room for `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn AParcel_marshal(
    parcel: *const AParcel,
    buffer: *mut u8,
    start: usize,
    length: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    code(unsafe { borrow(parcel) }.and_then(|parcel| {
        if parcel.message.has_objects() || !parcel.message.parcel().objects().is_empty() {
            return Err(StatusCode::INVALID_OPERATION);
        }
        let end = start.checked_add(length).ok_or(StatusCode::BAD_VALUE)?;
        let bytes = parcel.message.parcel().data().get(start..end);
        let bytes = bytes.ok_or(StatusCode::BAD_VALUE)?;
        if buffer.is_null() {
            return Err(StatusCode::UNEXPECTED_NULL);
        }
        // SAFETY: the caller's promise; the parcel's bytes are its own.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, length) };
        Ok(())
    }))
}

/// # Safety
/// `parcel` is null or a parcel of the caller's; `buffer` has `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn AParcel_unmarshal(
    parcel: *mut AParcel,
    buffer: *const u8,
    length: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    code(unsafe { borrow(parcel) }.and_then(|parcel| {
        if buffer.is_null() && length > 0 {
            return Err(StatusCode::UNEXPECTED_NULL);
        }
        let mut message = Message::default();
        if length > 0 {
            // SAFETY: the caller's promise, and not null.
            let bytes = unsafe { core::slice::from_raw_parts(buffer, length) };
            message.parcel_mut().write_raw(bytes);
        }
        parcel.message = message;
        Ok(())
    }))
}
