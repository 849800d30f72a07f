//! A read-only loop device over a part of a file or block device.
//!
//! dm-verity wants its tree at a multiple of the block size; in an idsig it starts at any byte. As Android's apkdmverity.
//! include/uapi/linux/loop.h.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use super::{ioctl_struct, ioctl_value};

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
const LO_FLAGS_READ_ONLY: u32 = 1;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Info>() == 232 && size_of::<Config>() == 304);

/// Makes `size` bytes of `file` from `offset` on a block device. The loop device keeps the file open.
///
/// # Errors
/// When the kernel has no loop devices or refuses this one.
pub fn attach(file: &File, offset: u64, size: u64) -> io::Result<PathBuf> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/loop-control")?;
    let number = ioctl_value(control.as_fd(), LOOP_CTL_GET_FREE, 0)?;
    let path = PathBuf::from(format!("/dev/loop{number}"));
    let device = OpenOptions::new().read(true).open(&path)?;
    let info = Info {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset,
        size_limit: size,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_READ_ONLY,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    let fd = u32::try_from(file.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut config = Config {
        fd,
        block_size: 0,
        info,
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one `struct loop_config`, which `Config` is byte for byte.
    unsafe { ioctl_struct(device.as_fd(), LOOP_CONFIGURE, &mut config) }?;
    Ok(path)
}
