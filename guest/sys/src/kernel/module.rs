//! finit_module(2).

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Loads a kernel module with parameters as the kernel takes them (`name=value ...`). One that is there already counts as loaded.
///
/// # Errors
/// What finit_module(2) says, EEXIST excepted.
pub fn load_module(file: &File, parameters: &CStr) -> io::Result<()> {
    let flags: libc::c_int = 0;
    // SAFETY: a live descriptor and a live NUL-terminated string; the kernel copies what it needs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            parameters.as_ptr(),
            flags,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EEXIST) {
        Ok(())
    } else {
        Err(error)
    }
}
