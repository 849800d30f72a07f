//! The C ABI: pointers become values and values pointers. All `unsafe` code of the library is here.
//!
//! What each function promises and asks for is said in the header of the same name in `include/`, which is what its
//! callers read; each `# Safety` section is that header's text.

mod array;
pub mod binder;
mod class;
mod death;
mod object;
pub mod parcel;
mod parcel_objects;
pub mod payload;
mod process;
mod rpc;
mod service_manager;
mod stability;
mod status;
mod weak;

use core::ffi::{c_char, CStr};
use microbuild_rpc::StatusCode;

/// A result as `binder_status_t`.
fn code(result: Result<(), StatusCode>) -> i32 {
    match result {
        Ok(()) => StatusCode::OK.0,
        Err(status) => crate::status::prune_status(status).0,
    }
}

/// A C string of the caller's; null is the empty string.
///
/// # Safety
/// The pointer is null, or a zero-terminated string that lives as long as the result is used.
unsafe fn c_str<'a>(text: *const c_char) -> &'a CStr {
    if text.is_null() {
        return c"";
    }
    // SAFETY: not null, and else what the caller promised.
    unsafe { CStr::from_ptr(text) }
}
