//! `AIBinder_Weak`: references that do not keep their object.

use super::binder::{give, share, AIBinder};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::ptr;

pub struct AIBinder_Weak(Weak<AIBinder>);

/// # Safety
/// `binder` is null or an object to which the caller has a reference.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Weak_new(binder: *mut AIBinder) -> *mut AIBinder_Weak {
    // SAFETY: the caller's promise.
    match unsafe { share(binder) } {
        Some(binder) => Box::into_raw(Box::new(AIBinder_Weak(Arc::downgrade(&binder)))),
        None => ptr::null_mut(),
    }
}

/// # Safety
/// `weak` is null or a weak reference that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Weak_delete(weak: *mut AIBinder_Weak) {
    if !weak.is_null() {
        // SAFETY: one of the functions here gave it away.
        drop(unsafe { Box::from_raw(weak) });
    }
}

/// # Safety
/// `weak` is null or a weak reference that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Weak_promote(weak: *mut AIBinder_Weak) -> *mut AIBinder {
    // SAFETY: the caller's promise.
    give(unsafe { weak.as_ref() }.and_then(|weak| weak.0.upgrade()))
}

/// # Safety
/// `weak` is null or a weak reference that is not deleted.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Weak_clone(weak: *const AIBinder_Weak) -> *mut AIBinder_Weak {
    // SAFETY: the caller's promise.
    match unsafe { weak.as_ref() } {
        Some(weak) => Box::into_raw(Box::new(AIBinder_Weak(weak.0.clone()))),
        None => ptr::null_mut(),
    }
}

/// # Safety
/// The pointers are null or weak references that are not deleted.
#[no_mangle]
pub unsafe extern "C" fn AIBinder_Weak_lt(
    left: *const AIBinder_Weak,
    right: *const AIBinder_Weak,
) -> bool {
    // SAFETY: the caller's promise. The object's place stays taken while there is a weak reference.
    match unsafe { (left.as_ref(), right.as_ref()) } {
        (Some(left), Some(right)) => left.0.as_ptr() < right.0.as_ptr(),
        _ => left < right,
    }
}
