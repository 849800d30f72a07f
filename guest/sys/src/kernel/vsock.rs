//! AF_VSOCK, client side: the guest speaks first, to the host.
//!
//! vsock(7), include/uapi/linux/vm_sockets.h.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{check, ioctl_struct};

/// `VMADDR_CID_HOST`.
pub const HOST_CID: u32 = 2;
/// `_IO(7, 0xb9)`.
const IOCTL_VM_SOCKETS_GET_LOCAL_CID: libc::c_ulong = 0x07b9;

/// This machine's context id.
///
/// # Errors
/// When there is no vsock device or driver.
pub fn local_cid() -> io::Result<u32> {
    let device = File::open("/dev/vsock")?;
    let mut cid = 0u32;
    // SAFETY: the kernel stores one u32.
    unsafe { ioctl_struct(device.as_fd(), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &mut cid) }?;
    Ok(cid)
}

/// A connected stream socket.
#[derive(Debug)]
pub struct VsockStream {
    // Reading, writing and shutting down a connected stream socket does not depend on its family, and this type has them.
    stream: UnixStream,
}

impl VsockStream {
    /// # Errors
    /// What socket(2) or connect(2) says.
    pub fn connect(cid: u32, port: u32) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe {
            libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: `fd` was just made and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all-zero is a valid sockaddr_vm.
        let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
        address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
        address.svm_cid = cid;
        address.svm_port = port;
        let size = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
        // SAFETY: `address` is a live sockaddr_vm of `size` bytes.
        check(unsafe { libc::connect(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), size) })?;
        Ok(Self {
            stream: UnixStream::from(fd),
        })
    }

    /// How long a read or write may wait; `None` for ever.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)?;
        self.stream.set_write_timeout(timeout)
    }

    /// # Errors
    /// What shutdown(2) says.
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Both)
    }
}

impl io::Read for VsockStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl io::Write for VsockStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
