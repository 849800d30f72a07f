//! Character devices that a process with a /dev of its own is to see.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::{c_path, check};

/// Makes `target` the same character device as `source`, for everybody to read and write.
///
/// # Errors
/// `InvalidInput` when `source` is no character device; else what stat(2), mknod(2) or chmod(2) says.
pub fn copy_character_device(source: &Path, target: &Path) -> io::Result<()> {
    let metadata = fs::metadata(source)?;
    if !metadata.file_type().is_char_device() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let path = c_path(target)?;
    // SAFETY: a NUL-terminated path that outlives the call.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, metadata.rdev()) })?;
    fs::set_permissions(target, Permissions::from_mode(0o666))
}
