//! Device mapper: creates a read-only mapped device with one target and gives it its place in /dev/mapper.
//!
//! include/uapi/linux/dm-ioctl.h, interface version 4.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::ioctl_struct;

const CONTROL: &str = "/dev/mapper/control";
const DM_NAME_SIZE: usize = 128;
const DM_TYPE_SIZE: usize = 16;
const DM_READONLY_FLAG: u32 = 1;
const DM_DEV_CREATE: libc::c_ulong = 3;
const DM_DEV_REMOVE: libc::c_ulong = 4;
const DM_DEV_SUSPEND: libc::c_ulong = 6;
const DM_TABLE_LOAD: libc::c_ulong = 9;
/// A dm-verity line with the longest salt and root takes some 900 bytes.
const PARAMETERS_SIZE_MAX: usize = 4096 - 1;

/// `struct dm_ioctl`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_number: u32,
    padding: u32,
    device: u64,
    name: [u8; DM_NAME_SIZE],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// `struct dm_target_spec`, and the parameters behind it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Target {
    sector_start: u64,
    length: u64,
    status: i32,
    next: u32,
    target_type: [u8; DM_TYPE_SIZE],
    parameters: [u8; PARAMETERS_SIZE_MAX + 1],
}

#[repr(C)]
struct Request {
    header: Header,
    target: Target,
}

const HEADER_SIZE: u32 = size_of::<Header>() as u32;
const REQUEST_SIZE: u32 = size_of::<Request>() as u32;
const _: () = assert!(HEADER_SIZE == 312 && size_of::<Target>() == 40 + PARAMETERS_SIZE_MAX + 1);

/// One line of a table, over the whole device.
#[derive(Debug, Clone)]
pub struct Table {
    /// In sectors of 512 bytes.
    pub sectors: u64,
    pub target_type: &'static str,
    pub parameters: String,
}

/// Creates `/dev/mapper/NAME`, read-only.
///
/// # Errors
/// When a name or the parameters are too long or hold a NUL, or the kernel refuses the table; there is no device then.
pub fn create_device(name: &str, table: &Table) -> io::Result<PathBuf> {
    let control = OpenOptions::new().read(true).write(true).open(CONTROL)?;
    let mut create = request(name, 0)?;
    send(&control, DM_DEV_CREATE, &mut create)?;
    if let Err(error) = activate(&control, name, table) {
        // Without a table it is of no use to anybody; what went wrong is told by the first error.
        let _ = request(name, 0).and_then(|mut remove| send(&control, DM_DEV_REMOVE, &mut remove));
        return Err(error);
    }
    let minor = libc::minor(create.header.device);
    let path = Path::new("/dev/mapper").join(name);
    symlink(format!("../dm-{minor}"), &path)?;
    Ok(path)
}

fn activate(control: &File, name: &str, table: &Table) -> io::Result<()> {
    let mut load = request(name, DM_READONLY_FLAG)?;
    load.header.target_count = 1;
    load.target.length = table.sectors;
    load.target.next = size_of::<Target>() as u32;
    copy_text(&mut load.target.target_type, table.target_type)?;
    copy_text(&mut load.target.parameters, &table.parameters)?;
    send(control, DM_TABLE_LOAD, &mut load)?;

    // Suspend without the suspend flag is resume: the table that was loaded becomes the live one.
    send(control, DM_DEV_SUSPEND, &mut request(name, 0)?)
}

fn request(name: &str, flags: u32) -> io::Result<Request> {
    if name.is_empty() || name.contains('/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut header = Header {
        version: [4, 0, 0],
        data_size: REQUEST_SIZE,
        data_start: HEADER_SIZE,
        target_count: 0,
        open_count: 0,
        flags,
        event_number: 0,
        padding: 0,
        device: 0,
        name: [0; DM_NAME_SIZE],
        uuid: [0; 129],
        data: [0; 7],
    };
    copy_text(&mut header.name, name)?;
    let target = Target {
        sector_start: 0,
        length: 0,
        status: 0,
        next: 0,
        target_type: [0; DM_TYPE_SIZE],
        parameters: [0; PARAMETERS_SIZE_MAX + 1],
    };
    Ok(Request { header, target })
}

/// Copies text and leaves at least one NUL behind it.
fn copy_text(field: &mut [u8], text: &str) -> io::Result<()> {
    let room = field.len() - 1;
    let place = field[..room]
        .get_mut(..text.len())
        .filter(|_| !text.contains('\0'));
    place
        .ok_or(io::ErrorKind::InvalidInput)?
        .copy_from_slice(text.as_bytes());
    Ok(())
}

fn send(control: &File, command: libc::c_ulong, request: &mut Request) -> io::Result<()> {
    const READ_WRITE: libc::c_ulong = 3 << 30;
    const DM_IOCTL: libc::c_ulong = 0xfd << 8;
    let code = READ_WRITE | (HEADER_SIZE as libc::c_ulong) << 16 | DM_IOCTL | command;
    // SAFETY: device mapper copies `data_size` bytes in and at most as many out, and that is the size of `Request`, which is
    // made of integers only.
    unsafe { ioctl_struct(control.as_fd(), code, request) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_parameters_that_do_not_fit_are_refused() {
        assert!(request("system", 0).is_ok());
        assert!(request(&"n".repeat(DM_NAME_SIZE - 1), 0).is_ok());
        for bad in ["", "a/b", "a\0b", &"n".repeat(DM_NAME_SIZE)] {
            assert!(request(bad, 0).is_err(), "{bad:?}");
        }
        let mut field = [0u8; 4];
        assert!(copy_text(&mut field, "abcd").is_err(), "no room for a NUL");
        assert!(copy_text(&mut field, "abc").is_ok());
        assert_eq!(&field, b"abc\0");
    }
}
