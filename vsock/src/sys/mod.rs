//! What the standard library lacks: shared memory, epoll, descriptors that come over sockets. The only
//! unsafe code of this program.

mod epoll;
mod mapping;
mod process;
mod sockets;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

pub use epoll::{Epoll, Event, Trigger};
pub use mapping::{Mapping, Part};
pub use process::{die_with_parent, ending_signals, make_files_private, raise_descriptor_limit};
pub use sockets::{
    connect, peek, receive_into, receive_with_descriptors, send_from, MAX_DESCRIPTORS,
};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Of calls that return how much they did.
fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: every caller passes a descriptor that the kernel has just made for it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
