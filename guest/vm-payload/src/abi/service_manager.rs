//! `android/binder_manager.h`: a VM has no service manager, and says so.

use super::binder::AIBinder;
use core::ffi::{c_char, c_void};
use core::ptr;
use microbuild_rpc::Exception;

type OnInstance = unsafe extern "C" fn(*const c_char, *mut c_void);

/// # Safety
/// Takes any pointers.
#[no_mangle]
pub unsafe extern "C" fn AServiceManager_addService(
    _binder: *mut AIBinder,
    _instance: *const c_char,
) -> i32 {
    Exception::UNSUPPORTED_OPERATION
}

macro_rules! no_service {
    ($($name:ident)*) => { $(
        /// # Safety
        /// Takes any pointer.
        #[no_mangle]
        pub unsafe extern "C" fn $name(_instance: *const c_char) -> *mut AIBinder {
            ptr::null_mut()
        }
    )* };
}

no_service! {
    AServiceManager_checkService
    AServiceManager_getService
    AServiceManager_waitForService
}

/// # Safety
/// Takes any pointer.
#[no_mangle]
pub unsafe extern "C" fn AServiceManager_isDeclared(_instance: *const c_char) -> bool {
    false
}

/// # Safety
/// Takes any pointers.
#[no_mangle]
pub unsafe extern "C" fn AServiceManager_forEachDeclaredInstance(
    _interface: *const c_char,
    _context: *mut c_void,
    _callback: Option<OnInstance>,
) {
}
