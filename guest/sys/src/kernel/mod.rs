//! Safe wrappers around the system calls of init and the manager, and what both need to find disks and to report.

pub mod block;
pub mod confinement;
pub mod console;
pub mod device_mapper;
pub mod device_node;
pub mod fuse;
pub mod loop_device;
pub mod module;
pub mod mount;
pub mod power;
pub mod process;
pub mod seccomp;
pub mod vsock;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The system call's result, or what `errno` says.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn c_text(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// An ioctl whose argument is a plain number.
fn ioctl_value(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    value: libc::c_ulong,
) -> io::Result<libc::c_int> {
    // SAFETY: every request passed here takes its argument by value, so the kernel reads or writes no memory of ours.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, value) })
}

/// An ioctl on a buffer. The caller vouches that `request` accesses at most `size_of::<T>()` bytes of it.
///
/// # Safety
/// `T` must be valid for every bit pattern, and at least as large as the kernel's structure for `request`.
unsafe fn ioctl_struct<T>(
    fd: BorrowedFd<'_>,
    request: libc::c_ulong,
    argument: &mut T,
) -> io::Result<libc::c_int> {
    // SAFETY: `argument` is an exclusive, live reference; its size is the caller's promise.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, std::ptr::from_mut(argument)) })
}

/// Milliseconds since boot.
#[must_use]
pub fn uptime_millis() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec that the kernel fills.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    if result != 0 {
        return 0;
    }
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000
        + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}
