//! What the standard library lacks: shared memory, epoll, descriptors that come over sockets. The only
//! unsafe code of this program.

use std::ffi::OsStr;
use std::io;
use std::marker::PhantomData;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

/// The most descriptors that a message may bring: one per memory region.
pub const MAX_DESCRIPTORS: usize = 8;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: every caller passes a descriptor that the kernel has just made for it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Memory that is shared with the guest, who may change it at any moment: so there are no references
/// into it, only copies in and out.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    size: usize,
}

impl Mapping {
    /// Maps the first `size` bytes of a file, readable and writable.
    ///
    /// # Errors
    /// When the file is shorter (touching its missing pages would be fatal), or what mmap(2) says.
    pub fn new(file: &OwnedFd, size: usize) -> io::Result<Self> {
        // SAFETY: all-zero is a valid stat.
        let mut status: libc::stat = unsafe { zeroed() };
        // SAFETY: `status` is a live stat.
        check(unsafe { libc::fstat(file.as_raw_fd(), &mut status) })?;
        if u64::try_from(status.st_size).unwrap_or(0) < size as u64 || size == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                protection,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(address.cast())
            .map(|base| Self { base, size })
            .ok_or_else(|| io::Error::from(io::ErrorKind::Other))
    }

    /// The part `offset..offset + size`, if all of it is mapped.
    #[must_use]
    pub fn part(&self, offset: usize, size: usize) -> Option<Part<'_>> {
        if offset > self.size || size > self.size - offset {
            return None;
        }
        // SAFETY: `offset` is at most the size of the mapping.
        let start = unsafe { self.base.as_ptr().add(offset) };
        Some(Part {
            start,
            size,
            owner: PhantomData,
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and no `Part` outlives it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

/// A piece of guest memory that is known to be mapped.
#[derive(Clone, Copy, Debug)]
pub struct Part<'m> {
    start: *mut u8,
    size: usize,
    owner: PhantomData<&'m Mapping>,
}

impl<'m> Part<'m> {
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Cuts in two; the first has at most `at` bytes.
    #[must_use]
    pub fn split(&self, at: usize) -> (Part<'m>, Part<'m>) {
        let at = at.min(self.size);
        // SAFETY: `at` is at most the size of the part.
        let rest = unsafe { self.start.add(at) };
        let part = |start, size| Part {
            start,
            size,
            owner: PhantomData,
        };
        (part(self.start, at), part(rest, self.size - at))
    }

    /// Copies as much as both hold.
    pub fn read(&self, out: &mut [u8]) {
        let size = out.len().min(self.size);
        let mut done = 0;
        while size - done >= 8 && (self.start as usize + done).is_multiple_of(8) {
            // SAFETY: eight bytes at `done` are inside the part, and aligned. Volatile, as the guest may write meanwhile.
            let word = unsafe { self.start.add(done).cast::<u64>().read_volatile() };
            out[done..done + 8].copy_from_slice(&word.to_ne_bytes());
            done += 8;
        }
        while done < size {
            // SAFETY: `done` is inside the part.
            out[done] = unsafe { self.start.add(done).read_volatile() };
            done += 1;
        }
    }

    /// Copies as much as both hold.
    pub fn write(&self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().take(self.size).enumerate() {
            // SAFETY: `at` is inside the part. Volatile, as the guest may read meanwhile.
            unsafe { self.start.add(at).write_volatile(*byte) };
        }
    }

    fn atomic(&self) -> Option<&'m AtomicU16> {
        if self.size < 2 || !(self.start as usize).is_multiple_of(2) {
            return None;
        }
        // SAFETY: two aligned bytes that stay mapped for 'm, which both sides use as atomics only.
        Some(unsafe { AtomicU16::from_ptr(self.start.cast()) })
    }

    /// The index that the part holds; what the guest wrote before it is seen afterwards.
    #[must_use]
    pub fn load_u16(&self) -> Option<u16> {
        Some(u16::from_le(self.atomic()?.load(Ordering::Acquire)))
    }

    /// Publishes an index behind everything that was written before.
    #[must_use]
    pub fn store_u16(&self, value: u16) -> Option<()> {
        self.atomic()?.store(value.to_le(), Ordering::Release);
        Some(())
    }
}

/// `struct iovec` and nothing else.
fn vectors(parts: &[Part<'_>]) -> Vec<libc::iovec> {
    let vector = |part: &Part<'_>| libc::iovec {
        iov_base: part.start.cast(),
        iov_len: part.size,
    };
    parts.iter().take(MAX_VECTORS).map(vector).collect()
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

/// What happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// Both directions are closed.
    pub hung_up: bool,
}

/// How often a descriptor's state is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// While it is readable.
    Level,
    /// When it becomes readable or writable.
    Edge,
}

/// epoll(7).
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

/// How many events are taken at a time.
const EVENTS: usize = 64;

impl Epoll {
    /// # Errors
    /// What epoll_create1(2) says.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = own(check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?);
        Ok(Self { fd })
    }

    /// Watches a descriptor until it is closed.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, trigger: Trigger) -> io::Result<()> {
        let wanted = match trigger {
            Trigger::Level => libc::EPOLLIN,
            Trigger::Edge => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET,
        };
        let mut event = libc::epoll_event {
            events: wanted as u32,
            u64: token,
        };
        let (epoll, operation) = (self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD);
        // SAFETY: `event` is a live epoll_event.
        check(unsafe { libc::epoll_ctl(epoll, operation, fd.as_raw_fd(), &mut event) })?;
        Ok(())
    }

    /// Stops watching a descriptor, which may have copies elsewhere.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        let (epoll, operation) = (self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL);
        // SAFETY: no pointer is needed to delete.
        unsafe { libc::epoll_ctl(epoll, operation, fd.as_raw_fd(), ptr::null_mut()) };
    }

    /// Waits until something happens or the time is over; -1 waits without end.
    ///
    /// # Errors
    /// What epoll_wait(2) says, but not EINTR.
    pub fn wait(&self, milliseconds: i32) -> io::Result<Vec<Event>> {
        // SAFETY: all-zero is a valid epoll_event.
        let mut events: [libc::epoll_event; EVENTS] = unsafe { zeroed() };
        let (fd, most) = (self.fd.as_raw_fd(), EVENTS as libc::c_int);
        // SAFETY: `events` is live and has as many entries as stated.
        let result =
            check(unsafe { libc::epoll_wait(fd, events.as_mut_ptr(), most, milliseconds) });
        let count = match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => usize::try_from(other?).unwrap_or(0),
        };
        let told = |event: &libc::epoll_event| {
            let flags = event.events as libc::c_int;
            Event {
                token: event.u64,
                readable: flags & libc::EPOLLIN != 0,
                writable: flags & libc::EPOLLOUT != 0,
                hung_up: flags & (libc::EPOLLHUP | libc::EPOLLERR) != 0,
            }
        };
        Ok(events.iter().take(count).map(told).collect())
    }
}

/// A descriptor that is readable once one of the signals that end a program has come; they do nothing else any more.
///
/// # Errors
/// What sigprocmask(2) or signalfd(2) says.
pub fn ending_signals() -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid sigset_t, and the calls fill it in.
    let set = unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&mut set, signal);
        }
        set
    };
    // SAFETY: `set` is a live sigset_t; the old one is not wanted.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()) })?;
    // SAFETY: `set` is a live sigset_t.
    Ok(own(check(unsafe {
        libc::signalfd(-1, &set, libc::SFD_CLOEXEC)
    })?))
}

/// Has the kernel send SIGTERM when the parent dies. False when it is dead already.
#[must_use]
pub fn die_with_parent() -> bool {
    let parent = std::os::unix::process::parent_id();
    // SAFETY: no pointers are passed.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    parent == std::os::unix::process::parent_id()
}

/// Files and sockets of this process are its user's only.
pub fn make_files_private() {
    // SAFETY: no pointers are passed.
    unsafe { libc::umask(0o077) };
}

/// Lets this process have `wanted` open descriptors, or as many as it may.
pub fn raise_descriptor_limit(wanted: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a live rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 && limit.rlim_cur < wanted {
        limit.rlim_cur = wanted.min(limit.rlim_max);
        // SAFETY: as above.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    }
}
