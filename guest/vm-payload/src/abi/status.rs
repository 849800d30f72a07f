//! `android/binder_status.h`: how a method ended.

use super::c_str;
use crate::status::{c_string, AStatus};
use alloc::boxed::Box;
use alloc::ffi::CString;
use core::ffi::c_char;
use core::ptr;
use microbuild_rpc::{Exception, StatusCode};

fn give(status: AStatus) -> *mut AStatus {
    Box::into_raw(Box::new(status))
}

#[no_mangle]
pub extern "C" fn AStatus_newOk() -> *mut AStatus {
    give(AStatus::ok())
}

#[no_mangle]
pub extern "C" fn AStatus_fromExceptionCode(exception: i32) -> *mut AStatus {
    give(AStatus::exception(exception, CString::default()))
}

/// # Safety
/// `message` is null or a C string.
#[no_mangle]
pub unsafe extern "C" fn AStatus_fromExceptionCodeWithMessage(
    exception: i32,
    message: *const c_char,
) -> *mut AStatus {
    // SAFETY: the caller's promise.
    give(AStatus::exception(
        exception,
        unsafe { c_str(message) }.into(),
    ))
}

#[no_mangle]
pub extern "C" fn AStatus_fromServiceSpecificError(error: i32) -> *mut AStatus {
    give(AStatus::service_specific(error, CString::default()))
}

/// # Safety
/// `message` is null or a C string.
#[no_mangle]
pub unsafe extern "C" fn AStatus_fromServiceSpecificErrorWithMessage(
    error: i32,
    message: *const c_char,
) -> *mut AStatus {
    // SAFETY: the caller's promise.
    give(AStatus::service_specific(
        error,
        unsafe { c_str(message) }.into(),
    ))
}

#[no_mangle]
pub extern "C" fn AStatus_fromStatus(status: i32) -> *mut AStatus {
    give(AStatus::from_status(StatusCode(status)))
}

/// # Safety
/// `status` is null or a status that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AStatus_isOk(status: *const AStatus) -> bool {
    // SAFETY: the caller's promise.
    unsafe { status.as_ref() }.is_some_and(AStatus::is_ok)
}

/// # Safety
/// `status` is null or a status that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AStatus_getExceptionCode(status: *const AStatus) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { status.as_ref() }.map_or(Exception::TRANSACTION_FAILED, AStatus::exception_code)
}

/// # Safety
/// `status` is null or a status that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AStatus_getServiceSpecificError(status: *const AStatus) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { status.as_ref() }.map_or(0, AStatus::service_specific_error)
}

/// # Safety
/// `status` is null or a status that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AStatus_getStatus(status: *const AStatus) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { status.as_ref() }
        .map_or(StatusCode::UNEXPECTED_NULL, AStatus::status)
        .0
}

/// # Safety
/// `status` is null or a status that is not deleted; the result is used no longer than it.
#[no_mangle]
pub unsafe extern "C" fn AStatus_getMessage(status: *const AStatus) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { status.as_ref() }.map_or(c"".as_ptr(), |status| status.message().as_ptr())
}

/// # Safety
/// `status` is null or a status that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AStatus_getDescription(status: *const AStatus) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { status.as_ref() }.map_or(ptr::null(), |status| {
        c_string(&status.description()).into_raw().cast_const()
    })
}

/// # Safety
/// `description` is null or comes from `AStatus_getDescription` and is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AStatus_deleteDescription(description: *const c_char) {
    if !description.is_null() {
        // SAFETY: `AStatus_getDescription` gave it away.
        drop(unsafe { CString::from_raw(description.cast_mut()) });
    }
}

/// # Safety
/// `status` is null or a status that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AStatus_delete(status: *mut AStatus) {
    if !status.is_null() {
        // SAFETY: one of the functions above gave it away.
        drop(unsafe { Box::from_raw(status) });
    }
}
