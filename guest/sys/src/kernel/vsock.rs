//! AF_VSOCK, client side: the guest speaks first, to the host.
//!
//! vsock(7), include/uapi/linux/vm_sockets.h.

use std::fs::File;
use std::io;
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

/// Takes a `timeval` of the machine's own word size.
const SO_VM_SOCKETS_CONNECT_TIMEOUT: libc::c_int = 6;

/// A connected stream socket.
#[derive(Debug)]
pub struct VsockStream {
    // Reading, writing and shutting down a connected stream socket does not depend on its family, and this type has them.
    stream: UnixStream,
}

impl VsockStream {
    /// Connects within `connect_timeout`; `timeout` bounds every later read and write.
    ///
    /// # Errors
    /// What socket(2), setsockopt(2) or connect(2) says.
    pub fn connect(
        cid: u32,
        port: u32,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> io::Result<Self> {
        let connected = Self::connect_unbounded(cid, port, connect_timeout)?;
        connected.stream.set_read_timeout(Some(timeout))?;
        connected.stream.set_write_timeout(Some(timeout))?;
        Ok(connected)
    }

    /// Connects within `connect_timeout`; later reads and writes wait for as long as it takes.
    ///
    /// # Errors
    /// What socket(2), setsockopt(2) or connect(2) says.
    pub fn connect_unbounded(cid: u32, port: u32, connect_timeout: Duration) -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = check(unsafe {
            libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: `fd` was just made and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set_connect_timeout(&fd, connect_timeout)?;
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
}

/// The kernel's own limit of two seconds is short for a host that emulates this machine.
fn set_connect_timeout(fd: &OwnedFd, timeout: Duration) -> io::Result<()> {
    let seconds = timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX);
    let value = libc::timeval {
        tv_sec: seconds,
        tv_usec: 0,
    };
    let size = size_of::<libc::timeval>() as libc::socklen_t;
    let pointer = std::ptr::from_ref(&value).cast();
    // SAFETY: `pointer` is a live timeval of `size` bytes.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::AF_VSOCK,
            SO_VM_SOCKETS_CONNECT_TIMEOUT,
            pointer,
            size,
        )
    })?;
    Ok(())
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
