//! `microdroid_launcher LIB`: loads a payload's library and runs its `AVmPayload_main`, whose result is the exit code.

#![no_std]
#![no_main]

#[cfg(not(feature = "freestanding"))]
extern crate std;

#[cfg(feature = "bionic")]
mod bionic;

use core::ffi::{c_char, c_int, c_void, CStr};
use core::fmt::Display;
use core::ptr::NonNull;
use microbuild_sys::payload::dynamic::Library;
use microbuild_sys::payload::process::print_error;
use microbuild_sys::payload::stdio::print_by_lines;

/// The program cannot do its part. The payload's own codes are whatever it returns.
const EXIT_FAILURE: c_int = 1;

type PayloadMain = unsafe extern "C" fn() -> c_int;

/// # Safety
/// Called once, by the libc's start code, with the arguments of the process.
// SAFETY: no other `main` is in the program: `no_main`.
#[no_mangle]
pub unsafe extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    if count != 2 || arguments.is_null() {
        print_error(format_args!("Usage: microdroid_launcher LIBRARY"));
        return EXIT_FAILURE;
    }
    print_by_lines();
    // SAFETY: there are two arguments, each a C string that lives as long as the process.
    let path = unsafe { CStr::from_ptr(*arguments.add(1)) };
    let library = match Library::open(path) {
        Ok(library) => library,
        Err(why) => {
            print_error(format_args!(
                "Failed to load {}: Failed to dlopen: {}",
                text(path),
                text(why)
            ));
            return EXIT_FAILURE;
        }
    };
    match library.symbol(c"AVmPayload_main") {
        // SAFETY: the function has this type by Android's contract with payloads.
        Ok(function) => unsafe { core::mem::transmute::<NonNull<c_void>, PayloadMain>(function)() },
        Err(why) => {
            print_error(format_args!(
                "Failed to find entrypoint `AVmPayload_main`: {}",
                text(why)
            ));
            EXIT_FAILURE
        }
    }
}

/// A C string for a message: what is not printable ASCII is escaped, so that no name can forge a line.
fn text(string: &CStr) -> impl Display + '_ {
    string.to_bytes().escape_ascii()
}
