//! `android/binder_ibinder.h`: classes and objects of a service.

use super::c_str;
use crate::parcel::AParcel;
use crate::status::prune_status;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::string::String;
use core::ffi::{c_char, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{fence, AtomicI32, Ordering};
use microbuild_rpc::{Parcel, ParcelReader, Service, Status, StatusCode};
use microbuild_sys::payload::process;

type OnCreate = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type OnDestroy = unsafe extern "C" fn(*mut c_void);
type OnTransact =
    for<'a> unsafe extern "C" fn(*mut AIBinder, u32, *const AParcel<'a>, *mut AParcel<'a>) -> i32;

pub struct AIBinder_Class {
    descriptor: String,
    /// The same, for C code.
    c_descriptor: CString,
    on_create: OnCreate,
    on_destroy: OnDestroy,
    on_transact: OnTransact,
}

pub struct AIBinder {
    class: &'static AIBinder_Class,
    user_data: *mut c_void,
    strong: AtomicI32,
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
    }))
}

/// # Safety
/// `class` comes from `AIBinder_Class_define`.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Class_getDescriptor(
    class: *const AIBinder_Class,
) -> *const c_char {
    // SAFETY: the caller's promise; classes are never freed.
    match unsafe { class.as_ref() } {
        Some(class) => class.c_descriptor.as_ptr(),
        None => process::abort(format_args!(
            "AIBinder_Class_getDescriptor: the class is null"
        )),
    }
}

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
    Box::into_raw(Box::new(AIBinder {
        class,
        user_data,
        strong: AtomicI32::new(1),
    }))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_incStrong(binder: *mut AIBinder) {
    // SAFETY: the caller's promise.
    if let Some(binder) = unsafe { binder.as_ref() } {
        // A new reference is made from an existing one, so nothing has to be seen in order (as in `Arc`).
        let before = binder.strong.fetch_add(1, Ordering::Relaxed);
        if before == i32::MAX {
            process::abort(format_args!("AIBinder_incStrong: too many references"));
        }
    }
}

/// # Safety
/// `binder` is null or an object of which the caller gives up one reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_decStrong(binder: *mut AIBinder) {
    // SAFETY: the caller's promise. The shared borrow ends before the object is freed.
    let Some(before) =
        (unsafe { binder.as_ref() }).map(|binder| binder.strong.fetch_sub(1, Ordering::Release))
    else {
        process::print_error(format_args!("AIBinder_decStrong: the binder is null"));
        return;
    };
    if before != 1 {
        return;
    }
    // What the other holders did to the object comes before its end.
    fence(Ordering::Acquire);
    // SAFETY: it was the last reference to a box that `AIBinder_new` gave away.
    let binder = unsafe { Box::from_raw(binder) };
    // SAFETY: the class made this user data, and nobody can reach it any more.
    unsafe { (binder.class.on_destroy)(binder.user_data) };
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_debugGetRefCount(binder: *mut AIBinder) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.map_or(-1, |binder| binder.strong.load(Ordering::Relaxed))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference; `class` is null or a class.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_associateClass(
    binder: *mut AIBinder,
    class: *const AIBinder_Class,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.is_some_and(|binder| ptr::eq(binder.class, class))
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getClass(binder: *mut AIBinder) -> *const AIBinder_Class {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.map_or(ptr::null(), |binder| binder.class)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_getUserData(binder: *mut AIBinder) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { binder.as_ref() }.map_or(ptr::null_mut(), |binder| binder.user_data)
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_isRemote(_binder: *const AIBinder) -> bool {
    false // every object that a payload can have is its own
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_isAlive(binder: *const AIBinder) -> bool {
    !binder.is_null()
}

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_ping(binder: *mut AIBinder) -> i32 {
    match binder.is_null() {
        true => StatusCode::UNEXPECTED_NULL.0,
        false => StatusCode::OK.0,
    }
}

/// An object of C code as a service; holds a reference.
pub struct BinderService(NonNull<AIBinder>);

// SAFETY: the count is atomic, the class never changes, and a class's functions are called from several threads at once by
// the header's word, as libbinder's are.
unsafe impl Send for BinderService {}
// SAFETY: as above.
unsafe impl Sync for BinderService {}

impl BinderService {
    /// Takes a reference of its own. `None` for null.
    ///
    /// # Safety
    /// `binder` is null or an object to which the caller has a reference.
    pub unsafe fn new(binder: *mut AIBinder) -> Option<Self> {
        let service = Self(NonNull::new(binder)?);
        // SAFETY: the caller's promise.
        unsafe { AIBinder_incStrong(binder) };
        Some(service)
    }

    fn class(&self) -> &'static AIBinder_Class {
        // SAFETY: the reference that this value holds keeps the object alive.
        unsafe { self.0.as_ref() }.class
    }
}

impl Drop for BinderService {
    fn drop(&mut self) {
        // SAFETY: gives up the reference that `new` took.
        unsafe { AIBinder_decStrong(self.0.as_ptr()) };
    }
}

impl Service for BinderService {
    fn descriptor(&self) -> &str {
        &self.class().descriptor
    }

    fn on_transact(&self, code: u32, data: &mut ParcelReader<'_>) -> Result<Parcel, Status> {
        let mut input = AParcel::In(data.clone());
        let mut output = AParcel::Out(Parcel::new());
        // Reading moves the position of `in`, which is const to C code: hence a pointer made of a mutable borrow.
        let input = (&raw mut input).cast_const();
        // SAFETY: the object and both parcels live until the function returns, by when it is done with them.
        let status =
            unsafe { (self.class().on_transact)(self.0.as_ptr(), code, input, &raw mut output) };
        match (StatusCode(status), output) {
            (StatusCode::OK, AParcel::Out(reply)) => Ok(reply),
            (StatusCode::OK, AParcel::In(_)) => Err(StatusCode::UNKNOWN_ERROR.into()),
            (status, _) => Err(prune_status(status).into()),
        }
    }
}
