//! The C library's own output stream.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

extern "C" {
    /// A `FILE *` in every C library that payloads run on.
    static stdout: *mut c_void;
    fn setvbuf(stream: *mut c_void, buffer: *mut c_char, mode: c_int, size: usize) -> c_int;
}

/// `_IOLBF`.
const LINE_BUFFERED: c_int = 1;

/// Makes whole lines of standard output go out at once, also where it is a pipe: what a payload printed before it
/// crashes is then in the log.
///
/// Before anything is printed.
pub fn print_by_lines() {
    // SAFETY: the stream is set up by the C library before any of our code runs, and nothing was written to it; a null
    // buffer lets the library take one of its own.
    // A library that does not comply only prints later.
    unsafe { setvbuf(stdout, ptr::null_mut(), LINE_BUFFERED, 0) };
}
