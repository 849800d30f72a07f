//! `android/binder_ibinder.h`, the functions on objects.

use super::class::AIBinder_Class;
use super::code;
use super::object::EXTENSION_TRANSACTION;
pub use super::object::{give, share, AIBinder};
use super::parcel::AParcel;
use crate::status::prune_status;
use alloc::sync::Arc;
use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use microbuild_rpc::peer::{Message, Object};
use microbuild_rpc::{StatusCode, FIRST_CALL_TRANSACTION, LAST_CALL_TRANSACTION, PING_TRANSACTION};
use microbuild_sys::payload::process;

/// Flags that a caller may set: one-way, clear the buffers, private to vendors.
const KNOWN_FLAGS: u32 = 0x01 | 0x20 | 0x1000_0000;

/// # Safety
/// `class` is null or comes from `AIBinder_Class_define`; `args` is what the class's `onCreate` takes.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_new(
    class: *const AIBinder_Class,
    args: *mut c_void,
) -> *mut AIBinder {
    // SAFETY: the caller's promise; classes are never freed.
    let Some(class) = (unsafe { class.as_ref() }) else {
        process::print_error(format_args!("AIBinder_new: the class is null"));
        return ptr::null_mut();
    };
    // SAFETY: the caller's promise.
    let user_data = unsafe { (class.on_create)(args) };
    give(Some(AIBinder::new_own(class, user_data)))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_incStrong(binder: *mut AIBinder) {
    // SAFETY: the caller's promise.
    give(unsafe { share(binder) });
}

/// # Safety
/// `binder` is null or an object of which the caller gives up one reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_decStrong(binder: *mut AIBinder) {
    if binder.is_null() {
        process::print_error(format_args!("AIBinder_decStrong: the binder is null"));
        return;
    }
    // SAFETY: the caller's promise.
    drop(unsafe { Arc::from_raw(binder.cast_const()) });
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_debugGetRefCount(binder: *mut AIBinder) -> i32 {
    // SAFETY: the caller's promise.
    match unsafe { share(binder) } {
        Some(binder) => i32::try_from(Arc::strong_count(&binder) - 1).unwrap_or(i32::MAX),
        None => -1,
    }
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `class` is null or a class.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_associateClass(
    binder: *mut AIBinder,
    class: *const AIBinder_Class,
) -> bool {
    // SAFETY: the caller's promise; classes are never freed.
    match unsafe { (share(binder), class.as_ref()) } {
        (Some(binder), Some(class)) => binder.associate(class),
        _ => false,
    }
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getClass(binder: *mut AIBinder) -> *const AIBinder_Class {
    // SAFETY: the caller's promise.
    let class = unsafe { binder.as_ref() }.and_then(AIBinder::class);
    class.map_or(ptr::null(), ptr::from_ref)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getUserData(binder: *mut AIBinder) -> *mut c_void {
    // SAFETY: the caller's promise.
    let own = unsafe { binder.as_ref() }.and_then(AIBinder::own);
    own.map_or(ptr::null_mut(), |own| own.user_data)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_isRemote(binder: *const AIBinder) -> bool {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.is_some_and(|binder| binder.remote().is_some())
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_isAlive(binder: *const AIBinder) -> bool {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.is_some_and(AIBinder::is_alive)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_ping(binder: *mut AIBinder) -> i32 {
    // SAFETY: the caller's promise.
    let binder = unsafe { share(binder) }.ok_or(StatusCode::UNEXPECTED_NULL);
    code(binder.and_then(|binder| {
        binder
            .call(PING_TRANSACTION, 0, Message::default())
            .map(drop)
    }))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `args` has `count` C strings.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_dump(
    binder: *mut AIBinder,
    fd: c_int,
    args: *const *const c_char,
    count: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(this) = (unsafe { binder.as_ref() }) else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    match this.own().map(|own| own.class.on_dump()) {
        // SAFETY: the caller's promise is what the function asks for.
        Some(Some(dump)) => prune_status(StatusCode(unsafe { dump(binder, fd, args, count) })).0,
        Some(None) => StatusCode::OK.0,
        None => StatusCode::FDS_NOT_ALLOWED.0, // a peer's object cannot be given the descriptor
    }
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `parcel` is null or has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_prepareTransaction(
    binder: *mut AIBinder,
    parcel: *mut *mut AParcel,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(this) = (unsafe { binder.as_ref() }).filter(|_| !parcel.is_null()) else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    let Some(class) = this.class() else {
        process::print_error(format_args!(
            "AIBinder_prepareTransaction: the object has no class yet (AIBinder_associateClass)"
        ));
        return StatusCode::INVALID_OPERATION.0;
    };
    let mut data = AParcel::for_target(binder);
    if class.has_token() {
        // A new parcel takes whatever is written.
        let _written = data.write(|parcel| parcel.write_str(&class.descriptor));
    }
    // SAFETY: the caller's promise.
    unsafe { parcel.write(data.give()) };
    StatusCode::OK.0
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `data` and `reply` are null or point to parcels, of
/// which `data` is given up.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_transact(
    binder: *mut AIBinder,
    transaction: u32,
    data: *mut *mut AParcel,
    reply: *mut *mut AParcel,
    flags: u32,
) -> i32 {
    if data.is_null() {
        return StatusCode::UNEXPECTED_NULL.0;
    }
    // SAFETY: the caller's promise.
    let input = unsafe { AParcel::take(data.replace(ptr::null_mut())) };
    if !(FIRST_CALL_TRANSACTION..=LAST_CALL_TRANSACTION).contains(&transaction) {
        return StatusCode::UNKNOWN_TRANSACTION.0;
    }
    if flags & !KNOWN_FLAGS != 0 {
        return StatusCode::BAD_VALUE.0;
    }
    // SAFETY: the caller's promise.
    let (Some(this), Some(input), false) = (unsafe { share(binder) }, input, reply.is_null())
    else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    if !input.is_for(binder) {
        process::print_error(format_args!(
            "AIBinder_transact: the parcel was prepared for another object"
        ));
        return StatusCode::BAD_VALUE.0;
    }
    // Flags of Android's kernel driver and its vendors end here.
    let oneway = flags & microbuild_rpc::FLAG_ONEWAY;
    let outcome = this.call(transaction, oneway, input.into_message());
    let (output, status) = match outcome {
        Ok(message) => (AParcel::received(message).give(), Ok(())),
        Err(status) => (ptr::null_mut(), Err(status)),
    };
    // SAFETY: the caller's promise.
    unsafe { reply.write(output) };
    code(status)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `extension` is null or has room for a pointer.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getExtension(
    binder: *mut AIBinder,
    extension: *mut *mut AIBinder,
) -> i32 {
    if extension.is_null() {
        return StatusCode::UNEXPECTED_NULL.0;
    }
    // SAFETY: the caller's promise.
    let binder = unsafe { share(binder) }.ok_or(StatusCode::UNEXPECTED_NULL);
    let found = binder.and_then(|binder| {
        let reply = binder.call(EXTENSION_TRANSACTION, 0, Message::default())?;
        let mut reader = reply.parcel().reader();
        reply.read_object(&mut reader)
    });
    let (found, status) = match found {
        Ok(found) => (found, Ok(())),
        Err(status) => (None, Err(status)),
    };
    // SAFETY: the caller's promise.
    unsafe { extension.write(give(found)) };
    code(status)
}

/// # Safety
/// `binder` and `extension` are null or objects to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_setExtension(
    binder: *mut AIBinder,
    extension: *mut AIBinder,
) -> i32 {
    // SAFETY: the caller's promise.
    let (Some(binder), Some(extension)) = (unsafe { (share(binder), share(extension)) }) else {
        return StatusCode::UNEXPECTED_NULL.0;
    };
    let Some(own) = binder.own() else {
        return StatusCode::INVALID_OPERATION.0;
    };
    let before = own.extension.with(|place| place.replace(extension));
    drop(before); // outside of the lock: its end may call anything
    StatusCode::OK.0
}

/// # Safety
/// The pointers are null or objects to which the caller has references.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_lt(left: *const AIBinder, right: *const AIBinder) -> bool {
    left < right
}
