//! Where the program starts under Android's libc, whose linker enters it at `_start`: other C libraries bring this part.
//!
//! See bionic's libc/private/bionic_defs.h and libc/arch-common/bionic/crtbegin.c.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

/// `structors_array_t`: constructors and destructors of the program, which has none.
#[repr(C)]
struct Structors {
    arrays: [usize; 3],
    /// Read in static programs only.
    counts: [usize; 3],
}

static NO_STRUCTORS: Structors = Structors {
    arrays: [0; 3],
    counts: [0; 3],
};

extern "C" {
    /// Sets the library up, calls `main` and exits with its result. `raw_arguments` is the stack as the kernel left it.
    fn __libc_init(
        raw_arguments: *mut c_void,
        on_exit: *const c_void,
        main: unsafe extern "C" fn(c_int, *const *const c_char) -> c_int,
        structors: *const Structors,
    ) -> !;
}

// Arguments, environment and auxiliary vector are on the stack, and nothing has been called yet.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    ".type _start, @function",
    "_start:",
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call {start}",
    "ud2",
    start = sym start,
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    ".type _start, %function",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "b {start}",
    start = sym start,
);

/// # Safety
/// Called once, by `_start`, with the stack as the kernel left it.
unsafe extern "C" fn start(raw_arguments: *mut c_void) -> ! {
    // SAFETY: the caller's promise is the library's; it reads no array of constructors where there is none.
    unsafe { __libc_init(raw_arguments, ptr::null(), crate::main, &NO_STRUCTORS) }
}
