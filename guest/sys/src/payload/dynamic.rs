//! Dynamic libraries.

use super::bindings::{self, RTLD_NOW};
use core::ffi::{c_void, CStr};
use core::ptr::NonNull;

/// A loaded library, never unloaded.
pub struct Library(NonNull<c_void>);

impl Library {
    /// Loads a library with everything it needs and runs its constructors. The error is the loader's own text.
    pub fn open(path: &CStr) -> Result<Self, &'static CStr> {
        // SAFETY: the path is a C string. The library's constructors run: that is what the caller asks for.
        let handle = unsafe { bindings::dlopen(path.as_ptr(), RTLD_NOW) };
        NonNull::new(handle).map(Self).ok_or_else(last_error)
    }

    /// The address of a symbol. The error is the loader's own text.
    pub fn symbol(&self, name: &CStr) -> Result<NonNull<c_void>, &'static CStr> {
        // SAFETY: the handle is that of a library that is still loaded, and the name is a C string.
        let address = unsafe { bindings::dlsym(self.0.as_ptr(), name.as_ptr()) };
        NonNull::new(address).ok_or_else(last_error)
    }
}

/// Why the last call failed: this thread's text, which the next call into the loader replaces.
fn last_error() -> &'static CStr {
    // SAFETY: takes nothing.
    let text = unsafe { bindings::dlerror() };
    if text.is_null() {
        return c"unknown error";
    }
    // SAFETY: not null, so a C string, which stays until this thread calls the loader again. The callers of this module
    // are done with it before: they print it and give up.
    unsafe { CStr::from_ptr(text) }
}
