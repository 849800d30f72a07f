//! File systems served by this process: the mount, and what keeps their data from lying in memory twice.
//!
//! Documentation/filesystems/fuse.rst; posix_fadvise(2).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::mount::{mount as mount_file_system, NODEV, NOSUID, READ_ONLY};

const DEVICE: &str = "/dev/fuse";
/// `st_mode` of the root until the file system has been asked.
const ROOT_MODE: u32 = 0o040_000;
const PAGE_SIZE: u64 = 4096;

/// Mounts a read-only FUSE file system on a directory and returns the descriptor that its requests are read from. Until
/// somebody answers them, whoever looks into the directory waits. The kernel checks permissions, for all users.
///
/// # Errors
/// When the kernel has no FUSE, or what mount(2) says.
pub fn mount(target: &Path, max_read: u32) -> io::Result<File> {
    let device = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    let fd = device.as_raw_fd();
    let options = format!(
        "fd={fd},rootmode={ROOT_MODE:o},user_id=0,group_id=0,allow_other,default_permissions,max_read={max_read}"
    );
    mount_file_system(
        "zipfuse",
        target,
        "fuse",
        READ_ONLY | NOSUID | NODEV,
        &options,
    )?;
    Ok(device)
}

/// Lets the kernel drop what it has cached of these bytes of a file or block device. The page in which the range ends stays:
/// whoever reads on needs it.
///
/// # Errors
/// What posix_fadvise(2) says; nothing is lost by passing over it.
pub fn forget_cached(file: &File, offset: u64, size: u64) -> io::Result<()> {
    let start = offset - offset % PAGE_SIZE;
    let end = offset.saturating_add(size);
    let size = (end - end % PAGE_SIZE).saturating_sub(start);
    if size == 0 {
        // To the kernel it would mean: up to the end.
        return Ok(());
    }
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let (start, size) = (
        libc::off_t::try_from(start).map_err(invalid)?,
        libc::off_t::try_from(size).map_err(invalid)?,
    );
    // SAFETY: the call takes a descriptor, which is open, and numbers.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), start, size, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Unmounts a file system. For tests: the guest's file systems stay until the power goes.
///
/// # Errors
/// What umount2(2) says.
pub fn unmount(target: &Path) -> io::Result<()> {
    let target = super::c_path(target)?;
    // SAFETY: a NUL-terminated string that outlives the call.
    super::check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })?;
    Ok(())
}
