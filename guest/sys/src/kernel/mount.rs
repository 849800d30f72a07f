//! mount(2), and the switch from the initramfs to the system image.

use std::io;
use std::path::Path;

use super::{c_path, c_text, check};

/// Flags of mount(2); combine with `|`.
pub use libc::{
    MS_BIND as BIND, MS_NODEV as NODEV, MS_NOEXEC as NOEXEC, MS_NOSUID as NOSUID,
    MS_RDONLY as READ_ONLY, MS_REMOUNT as REMOUNT,
};

/// Mounts `source` on `target`; `data` holds the file system's own options.
///
/// # Errors
/// What mount(2) says.
pub fn mount(
    source: &str,
    target: &Path,
    file_system: &str,
    flags: libc::c_ulong,
    data: &str,
) -> io::Result<()> {
    let (source, target, file_system, data) = (
        c_text(source)?,
        c_path(target)?,
        c_text(file_system)?,
        c_text(data)?,
    );
    // SAFETY: four NUL-terminated strings that outlive the call; the kernel copies them.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            file_system.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    })?;
    Ok(())
}

/// Shows what is at `source`, without what is mounted below it, at `target` too, with flags of its own.
///
/// # Errors
/// What mount(2) says.
pub fn bind(source: &Path, target: &Path, flags: libc::c_ulong) -> io::Result<()> {
    let name = source
        .to_str()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    mount(name, target, "none", BIND, "")?;
    // The kernel ignores other flags while it binds: they are set in a second step.
    remount(target, flags)
}

/// Gives what is mounted at `target` other flags there, and only there.
///
/// # Errors
/// What mount(2) says.
pub fn remount(target: &Path, flags: libc::c_ulong) -> io::Result<()> {
    mount("none", target, "none", BIND | REMOUNT | flags, "")
}

/// Moves a mounted file system to another place in the tree.
///
/// # Errors
/// What mount(2) says.
pub fn move_mount(source: &Path, target: &Path) -> io::Result<()> {
    let (source, target) = (c_path(source)?, c_path(target)?);
    // SAFETY: NUL-terminated strings that outlive the call; MS_MOVE ignores the null arguments.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            std::ptr::null(),
            libc::MS_MOVE,
            std::ptr::null(),
        )
    })?;
    Ok(())
}

/// Makes the file system mounted at `new_root` the root of this process. The old root stays below, out of reach.
///
/// # Errors
/// What chdir(2), mount(2) or chroot(2) says.
pub fn switch_root(new_root: &Path) -> io::Result<()> {
    std::env::set_current_dir(new_root)?;
    move_mount(Path::new("."), Path::new("/"))?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")
}
