//! What std would bring: the allocator, what happens on a panic, and the symbols that core's unwind tables name.

use super::memory::LibcHeap;
use super::process;
use core::panic::PanicInfo;

#[global_allocator]
static HEAP: LibcHeap = LibcHeap;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    process::abort(format_args!("{info}"))
}

// The prebuilt core and alloc were compiled for unwinding, so their tables name a personality and their landing pads a way
// to go on. Nothing of ours unwinds: both are traps. They are written in assembly because a library would export functions,
// and its users may have an unwinder of their own.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".hidden rust_eh_personality",
    ".globl rust_eh_personality",
    "rust_eh_personality:",
    ".hidden _Unwind_Resume",
    ".globl _Unwind_Resume",
    "_Unwind_Resume:",
    "ud2",
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".hidden rust_eh_personality",
    ".globl rust_eh_personality",
    "rust_eh_personality:",
    ".hidden _Unwind_Resume",
    ".globl _Unwind_Resume",
    "_Unwind_Resume:",
    "brk #1",
);
