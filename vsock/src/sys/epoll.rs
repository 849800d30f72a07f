//! epoll(7).

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::{check, own};

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
