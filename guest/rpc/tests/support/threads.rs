//! Sessions of a program that has std.

use microbuild_rpc::peer::{Environment, Monitor, Stream};
use microbuild_rpc::TransportError;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

/// A socket as the stream of a session.
pub struct Socket(pub UnixStream);

fn closed(_: std::io::Error) -> TransportError {
    TransportError::Closed
}

impl Stream for Socket {
    fn read_exact(&self, buffer: &mut [u8]) -> Result<(), TransportError> {
        (&self.0).read_exact(buffer).map_err(closed)
    }
    fn write_all(&self, bytes: &[u8]) -> Result<(), TransportError> {
        (&self.0).write_all(bytes).map_err(closed)
    }
    fn has_input(&self) -> bool {
        #[repr(C)]
        struct PollFd(i32, i16, i16);
        extern "C" {
            fn poll(fds: *mut PollFd, count: u64, timeout: i32) -> i32;
        }
        let mut fd = PollFd(self.0.as_raw_fd(), 1, 0);
        // SAFETY: one entry, valid while the function runs.
        unsafe { poll(&mut fd, 1, 0) > 0 }
    }
    fn shut_down(&self) {
        let _already = self.0.shutdown(std::net::Shutdown::Both);
    }
}

pub struct Waitable<T>(Mutex<T>, Condvar);

impl<T: Send> Monitor<T> for Waitable<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value), Condvar::new())
    }
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.0.lock().unwrap());
        self.1.notify_all();
        result
    }
    fn wait<R>(&self, mut attempt: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut value = self.0.lock().unwrap();
        loop {
            if let Some(result) = attempt(&mut value) {
                return result;
            }
            value = self.1.wait(value).unwrap();
        }
    }
}

/// Threads, locks and sockets of std.
pub struct Threads;

impl Environment for Threads {
    type Stream = Socket;
    type Monitor<T: Send + 'static> = Waitable<T>;
    fn thread() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local!(static ID: u64 = NEXT.fetch_add(1, Ordering::Relaxed));
        ID.with(|id| *id)
    }
}
