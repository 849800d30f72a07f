//! Stream sockets: vsock to the host, unix to the manager.

use super::bindings::{
    self, SockaddrUn, SockaddrVm, AF_UNIX, AF_VSOCK, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK,
    SHUT_RDWR, SOCK_CLOEXEC, SOCK_STREAM,
};
use super::Errno;
use core::ffi::{c_int, c_uint};
use core::mem::size_of;

/// The host's address.
pub const VMADDR_CID_HOST: u32 = 2;

/// A descriptor that is closed when dropped.
struct Descriptor(c_int);

impl Descriptor {
    fn new(fd: c_int) -> Result<Self, Errno> {
        if fd < 0 {
            return Err(Errno::last());
        }
        Ok(Self(fd))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is this value's own, and used no more.
        unsafe { bindings::close(self.0) };
    }
}

fn stream_socket(domain: c_int) -> Result<Descriptor, Errno> {
    // SAFETY: takes numbers only.
    Descriptor::new(unsafe { bindings::socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0) })
}

fn check(result: c_int) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

/// A listening socket.
pub struct Listener(Descriptor);

impl Listener {
    /// Listens on a vsock port of this VM, whatever its CID.
    pub fn bind_vsock(port: u32) -> Result<Self, Errno> {
        let socket = stream_socket(AF_VSOCK)?;
        let address = SockaddrVm {
            family: AF_VSOCK as u16,
            port,
            cid: bindings::VMADDR_CID_ANY,
            ..SockaddrVm::default()
        };
        // SAFETY: the address is valid for the length given.
        check(unsafe {
            bindings::bind(
                socket.0,
                (&raw const address).cast(),
                size_of::<SockaddrVm>() as c_uint,
            )
        })?;
        Self::listen(socket)
    }

    /// Listens on a stream socket that is bound already, and takes it over.
    ///
    /// # Safety
    /// The caller owns the descriptor and gives it up.
    pub unsafe fn from_bound(fd: i32) -> Result<Self, Errno> {
        Self::listen(Descriptor(fd))
    }

    fn listen(socket: Descriptor) -> Result<Self, Errno> {
        // SAFETY: takes numbers only.
        check(unsafe { bindings::listen(socket.0, 50) })?;
        Ok(Self(socket))
    }

    /// The next connection, with the CID of its peer if it came by vsock.
    pub fn accept(&self) -> Result<(Socket, Option<u32>), Errno> {
        let mut peer = SockaddrVm::default();
        let mut length = size_of::<SockaddrVm>() as c_uint;
        // SAFETY: the address is valid for the length given, which the kernel does not exceed.
        let fd = unsafe {
            bindings::accept4(self.0 .0, (&raw mut peer).cast(), &mut length, SOCK_CLOEXEC)
        };
        let socket = Socket(Descriptor::new(fd)?);
        let vsock = peer.family == AF_VSOCK as u16;
        Ok((socket, vsock.then_some(peer.cid)))
    }

    /// Makes `accept` fail, now and from now on.
    pub fn shut_down(&self) {
        // SAFETY: takes numbers only.
        unsafe { bindings::shutdown(self.0 .0, SHUT_RDWR) };
    }
}

/// A connected stream. One thread may send while another receives.
pub struct Socket(Descriptor);

impl Socket {
    /// Takes over a descriptor that is a connected stream socket.
    ///
    /// # Safety
    /// The caller owns the descriptor and gives it up.
    pub unsafe fn from_descriptor(fd: i32) -> Self {
        Self(Descriptor(fd))
    }

    /// Connects to a vsock port.
    pub fn connect_vsock(cid: u32, port: u32) -> Result<Self, Errno> {
        let socket = stream_socket(AF_VSOCK)?;
        let address = SockaddrVm {
            family: AF_VSOCK as u16,
            port,
            cid,
            ..SockaddrVm::default()
        };
        // SAFETY: the address is valid for the length given.
        check(unsafe {
            bindings::connect(
                socket.0,
                (&raw const address).cast(),
                size_of::<SockaddrVm>() as c_uint,
            )
        })?;
        Ok(Self(socket))
    }

    /// Ends the stream both ways, for whoever sends or receives on it now or later. Failure means that it has ended.
    pub fn shut_down(&self) {
        // SAFETY: takes numbers only.
        unsafe { bindings::shutdown(self.0 .0, SHUT_RDWR) };
    }

    /// Connects to a unix socket by its path, of at most 107 bytes.
    pub fn connect_unix(path: &str) -> Result<Self, Errno> {
        const ENAMETOOLONG: Errno = Errno(36);
        let mut address = SockaddrUn {
            family: AF_UNIX as u16,
            path: [0; 108],
        };
        // One byte less than there is: the rest terminates the path.
        let room = address
            .path
            .get_mut(..path.len())
            .filter(|room| room.len() < 108)
            .ok_or(ENAMETOOLONG)?;
        room.copy_from_slice(path.as_bytes());
        let socket = stream_socket(AF_UNIX)?;
        // SAFETY: the address is valid for the length given.
        check(unsafe {
            bindings::connect(
                socket.0,
                (&raw const address).cast(),
                size_of::<SockaddrUn>() as c_uint,
            )
        })?;
        Ok(Self(socket))
    }

    /// Whether `receive` would return at once.
    pub fn has_input(&self) -> bool {
        let mut byte = 0_u8;
        let flags = MSG_PEEK | MSG_DONTWAIT;
        // SAFETY: the buffer is valid for its one byte, and only looked into.
        let seen = retry(|| unsafe { bindings::recv(self.0 .0, (&raw mut byte).cast(), 1, flags) });
        !matches!(seen, Err(Errno::EAGAIN))
    }

    /// Receives up to a buffer; 0 at the end of the stream.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the buffer is valid for its length.
        retry(|| unsafe { bindings::recv(self.0 .0, buffer.as_mut_ptr().cast(), buffer.len(), 0) })
    }

    /// Sends some of the bytes. A peer that has gone is an error (EPIPE) and no signal.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        // SAFETY: the buffer is valid for its length.
        retry(|| unsafe {
            bindings::send(self.0 .0, bytes.as_ptr().cast(), bytes.len(), MSG_NOSIGNAL)
        })
    }
}

/// Calls again while signals come in between.
fn retry(mut call: impl FnMut() -> isize) -> Result<usize, Errno> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => match Errno::last() {
                Errno::EINTR => {}
                error => return Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    #[test]
    fn bytes_pass_both_ways_and_a_peer_that_has_gone_is_an_error() {
        let path = std::env::temp_dir().join(std::format!("microbuild-sys-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let ours = Socket::connect_unix(path.to_str().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(ours.send(b"ping"), Ok(4));
        let mut buffer = [0; 4];
        theirs.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"ping");
        theirs.write_all(b"ok").unwrap();
        assert!(ours.has_input());
        assert_eq!(ours.receive(&mut buffer), Ok(2));
        assert!(!ours.has_input());
        drop(theirs);
        assert_eq!(ours.receive(&mut buffer), Ok(0));
        assert_eq!(ours.send(b"x"), Err(Errno(32)));
    }

    #[test]
    fn a_path_that_does_not_fit_or_is_not_there_is_refused() {
        let long = |length| Socket::connect_unix(&"x".repeat(length)).err();
        assert_eq!(
            (long(107), long(108), long(1000)),
            (Some(Errno(2)), Some(Errno(36)), Some(Errno(36)))
        );
    }
}
