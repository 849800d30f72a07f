//! Unix sockets: into and out of guest memory, with descriptors, without waiting.

use std::ffi::OsStr;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::ptr;

use super::{check, check_size, own, Part};

/// The most descriptors that a message may bring: one per memory region.
pub const MAX_DESCRIPTORS: usize = 8;

fn vectors(parts: &[Part<'_>]) -> Vec<libc::iovec> {
    parts.iter().take(MAX_VECTORS).map(Part::vector).collect()
}
/// `UIO_MAXIOV`.
const MAX_VECTORS: usize = 1024;

/// Receives from a socket into guest memory, without waiting. Zero is the end of the stream.
///
/// # Errors
/// What recvmsg(2) says.
pub fn receive_into(socket: BorrowedFd<'_>, parts: &[Part<'_>]) -> io::Result<usize> {
    let mut vectors = vectors(parts);
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    // SAFETY: the vectors lead to mapped memory, which nothing holds references to.
    check_size(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) })
}

/// Sends guest memory to a socket, without waiting.
///
/// # Errors
/// What sendmsg(2) says.
pub fn send_from(socket: BorrowedFd<'_>, parts: &[Part<'_>]) -> io::Result<usize> {
    let mut vectors = vectors(parts);
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the vectors lead to mapped memory; the kernel only reads it.
    check_size(unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) })
}

/// Looks at what a socket would give, without taking it and without waiting.
///
/// # Errors
/// What recv(2) says.
pub fn peek(socket: BorrowedFd<'_>, out: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: `out` is live and as long as stated.
    check_size(unsafe {
        libc::recv(
            socket.as_raw_fd(),
            out.as_mut_ptr().cast(),
            out.len(),
            flags,
        )
    })
}

/// Receives bytes, and the descriptors that came with them.
///
/// # Errors
/// What recvmsg(2) says; when there were more descriptors than `MAX_DESCRIPTORS`.
pub fn receive_with_descriptors(
    socket: BorrowedFd<'_>,
    out: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut vector = libc::iovec {
        iov_base: out.as_mut_ptr().cast(),
        iov_len: out.len(),
    };
    // Room for MAX_DESCRIPTORS behind one header, aligned as cmsghdr wants it.
    let mut control = [0u64; 8];
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; 8]>() as _;
    // SAFETY: `vector` and `control` are live and as long as stated.
    let size = check_size(unsafe {
        libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC)
    })?;
    let mut descriptors = Vec::new();
    // SAFETY: the kernel filled in `message`, whose control buffer is live.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give headers inside the control buffer.
        let (level, kind, length) = unsafe {
            (
                (*header).cmsg_level,
                (*header).cmsg_type,
                (*header).cmsg_len,
            )
        };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: this macro only computes.
            let start = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = length.saturating_sub(start) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel wrote `count` descriptors behind the header, for us to own.
                let fd = unsafe { libc::CMSG_DATA(header).cast::<RawFd>().add(index) };
                // SAFETY: as above; the data need not be aligned.
                descriptors.push(own(unsafe { fd.read_unaligned() }));
            }
        }
        // SAFETY: `header` came from the macros, `message` is unchanged.
        header = unsafe { libc::CMSG_NXTHDR(&message, header) };
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok((size, descriptors))
}

/// Connects a stream socket without waiting: where the listener's queue is full it says `WouldBlock`.
///
/// # Errors
/// What socket(2) or connect(2) says; a path that is too long.
pub fn connect(path: &OsStr) -> io::Result<UnixStream> {
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_bytes();
    // One byte of zero stays behind the path.
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    let socket = own(check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?);
    let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `address` is a live sockaddr_un of `size` bytes.
    check(unsafe { libc::connect(socket.as_raw_fd(), ptr::from_ref(&address).cast(), size) })?;
    Ok(UnixStream::from(socket))
}
