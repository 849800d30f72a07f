//! What the payload side asks of its libc: memory, streams, sockets, threads, dynamic libraries.
//!
//! The programs here run on the libc of the system image (musl) and, in tests, on that of the build host (glibc). So
//! nothing depends on the layout of a libc's own types: those are opaque, larger than either needs, and set up by the
//! libc itself. What the kernel defines (socket addresses, flags) is the same for both.

mod bindings;
pub mod dynamic;
pub mod memory;
pub mod process;
#[cfg(feature = "freestanding")]
mod runtime;
pub mod socket;
pub mod stdio;
pub mod thread;

use core::fmt;

/// An `errno` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    pub const EINTR: Self = Self(4);
    pub const EBADF: Self = Self(9);
    pub const EAGAIN: Self = Self(11);
    pub const ENOMEM: Self = Self(12);
    pub const ENFILE: Self = Self(23);
    pub const EMFILE: Self = Self(24);
    pub const ECONNABORTED: Self = Self(103);
    pub const ENOBUFS: Self = Self(105);

    /// The last error of this thread.
    fn last() -> Self {
        // SAFETY: returns the address of this thread's errno, which is valid as long as the thread runs.
        Self(unsafe { *bindings::__errno_location() })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}
