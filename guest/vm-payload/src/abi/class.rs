//! `AIBinder_Class`: the implementation of an interface.

use super::binder::AIBinder;
use super::c_str;
use super::parcel::AParcel;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::string::String;
use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use microbuild_rpc::FIRST_CALL_TRANSACTION;
use microbuild_sys::payload::process;

pub type OnCreate = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
pub type OnDestroy = unsafe extern "C" fn(*mut c_void);
pub type OnTransact = unsafe extern "C" fn(*mut AIBinder, u32, *const AParcel, *mut AParcel) -> i32;
pub type OnDump = unsafe extern "C" fn(*mut AIBinder, c_int, *const *const c_char, u32) -> i32;
type HandleShellCommand =
    unsafe extern "C" fn(*mut AIBinder, c_int, c_int, c_int, *const *const c_char, u32) -> i32;

pub struct AIBinder_Class {
    pub descriptor: String,
    /// The same, for C code.
    c_descriptor: CString,
    pub on_create: OnCreate,
    pub on_destroy: OnDestroy,
    pub on_transact: OnTransact,
    /// An `OnDump`, or null.
    on_dump: AtomicPtr<c_void>,
    /// Names of the methods by their codes, from the first on; an array that lives as long as the process, or null.
    names: AtomicPtr<*const c_char>,
    name_count: AtomicUsize,
    /// Whether calls start with the interface's name.
    has_token: AtomicBool,
}

impl AIBinder_Class {
    pub fn has_token(&self) -> bool {
        self.has_token.load(Ordering::Relaxed)
    }

    pub fn on_dump(&self) -> Option<OnDump> {
        let function = self.on_dump.load(Ordering::Acquire);
        // SAFETY: null, or stored by `AIBinder_Class_setOnDump`; an `Option` of a function is a pointer that may be null.
        unsafe { core::mem::transmute::<*mut c_void, Option<OnDump>>(function) }
    }
}

/// A class of the caller's, which is there by the header's word.
///
/// # Safety
/// `class` is null or comes from `AIBinder_Class_define`.
unsafe fn defined(class: *const AIBinder_Class, function: &str) -> &'static AIBinder_Class {
    // SAFETY: the caller's promise; classes are never freed.
    match unsafe { class.as_ref() } {
        Some(class) => class,
        None => process::abort(format_args!("{function}: the class is null")),
    }
}

/// # Safety
/// `descriptor` is null or a C string; the functions are what their types say.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_define(
    descriptor: *const c_char,
    on_create: Option<OnCreate>,
    on_destroy: Option<OnDestroy>,
    on_transact: Option<OnTransact>,
) -> *mut AIBinder_Class {
    // SAFETY: the caller's promise.
    let c_descriptor = CString::from(unsafe { c_str(descriptor) });
    let (Ok(text), false) = (c_descriptor.to_str(), descriptor.is_null()) else {
        return ptr::null_mut();
    };
    let (Some(on_create), Some(on_destroy), Some(on_transact)) =
        (on_create, on_destroy, on_transact)
    else {
        return ptr::null_mut();
    };
    let descriptor = text.into();
    Box::into_raw(Box::new(AIBinder_Class {
        descriptor,
        c_descriptor,
        on_create,
        on_destroy,
        on_transact,
        on_dump: AtomicPtr::default(),
        names: AtomicPtr::default(),
        name_count: AtomicUsize::new(0),
        has_token: AtomicBool::new(true),
    }))
}

/// # Safety
/// `class` comes from `AIBinder_Class_define`.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_getDescriptor(
    class: *const AIBinder_Class,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let class = unsafe { defined(class, "AIBinder_Class_getDescriptor") };
    class.c_descriptor.as_ptr()
}

/// # Safety
/// `class` comes from `AIBinder_Class_define`; the function is what its type says.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_setOnDump(
    class: *mut AIBinder_Class,
    on_dump: Option<OnDump>,
) {
    // SAFETY: the caller's promise.
    let class = unsafe { defined(class, "AIBinder_Class_setOnDump") };
    let function = on_dump.map_or(ptr::null_mut(), |function| function as *mut c_void);
    class.on_dump.store(function, Ordering::Release);
}

/// # Safety
/// `class` comes from `AIBinder_Class_define`.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_disableInterfaceTokenHeader(class: *mut AIBinder_Class) {
    // SAFETY: the caller's promise.
    let class = unsafe { defined(class, "AIBinder_Class_disableInterfaceTokenHeader") };
    class.has_token.store(false, Ordering::Relaxed);
}

/// Accepted and never called: nobody who could send a shell command reaches this VM.
///
/// # Safety
/// `class` comes from `AIBinder_Class_define`.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_setHandleShellCommand(
    class: *mut AIBinder_Class,
    _handler: Option<HandleShellCommand>,
) {
    // SAFETY: the caller's promise.
    unsafe { defined(class, "AIBinder_Class_setHandleShellCommand") };
}

/// # Safety
/// `class` comes from `AIBinder_Class_define`; `names` has `length` C strings and lives as long as the process.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_setTransactionCodeToFunctionNameMap(
    class: *mut AIBinder_Class,
    names: *const *const c_char,
    length: usize,
) {
    let function = "AIBinder_Class_setTransactionCodeToFunctionNameMap";
    // SAFETY: the caller's promise.
    let class = unsafe { defined(class, function) };
    if names.is_null() || !class.names.load(Ordering::Relaxed).is_null() {
        process::abort(format_args!("{function}: the names are null, or set again"));
    }
    class.name_count.store(length, Ordering::Relaxed);
    class.names.store(names.cast_mut(), Ordering::Release);
}

/// # Safety
/// `class` comes from `AIBinder_Class_define`.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_getFunctionName(
    class: *mut AIBinder_Class,
    code: u32,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let class = unsafe { defined(class, "AIBinder_Class_getFunctionName") };
    let names = class.names.load(Ordering::Acquire);
    let count = class.name_count.load(Ordering::Relaxed);
    let index = code.checked_sub(FIRST_CALL_TRANSACTION);
    match index.and_then(|index| usize::try_from(index).ok()) {
        // SAFETY: the array has that many elements by the word of who set it.
        Some(index) if !names.is_null() && index < count => unsafe { *names.add(index) },
        _ => ptr::null(),
    }
}
