//! Messages, randomness, waiting and the end of the process.

use super::bindings::{self, Timespec, STDERR_FILENO, STDOUT_FILENO};
use super::Errno;
use core::ffi::c_int;
use core::fmt::{self, Write};

/// A line that is collected so that it reaches the console in one write, unmixed with other threads' lines.
struct Line {
    bytes: [u8; 1024],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // What does not fit is cut; the last byte is for the line feed.
        let room = self.bytes.len() - 1 - self.length;
        let text = text.as_bytes().get(..room).unwrap_or(text.as_bytes());
        for (to, from) in self.bytes.iter_mut().skip(self.length).zip(text) {
            *to = *from;
        }
        self.length += text.len();
        Ok(())
    }
}

fn print(fd: c_int, message: fmt::Arguments<'_>) {
    let mut line = Line {
        bytes: [0; 1024],
        length: 0,
    };
    // It can only fail if a `Display` of ours does; then the line ends there.
    let _cut = line.write_fmt(message);
    line.bytes[line.length] = b'\n';
    let mut rest = &line.bytes[..=line.length];
    while !rest.is_empty() {
        // SAFETY: the buffer is valid for its length.
        let written = unsafe { bindings::write(fd, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return, // nowhere to say so
        }
    }
}

/// Writes one line of at most 1023 bytes to stdout.
pub fn print_line(message: fmt::Arguments<'_>) {
    print(STDOUT_FILENO, message);
}

/// Writes one line of at most 1023 bytes to stderr.
pub fn print_error(message: fmt::Arguments<'_>) {
    print(STDERR_FILENO, message);
}

/// Says why on stderr and ends the process with SIGABRT.
pub fn abort(message: fmt::Arguments<'_>) -> ! {
    print_error(message);
    // SAFETY: takes nothing and does not return.
    unsafe { bindings::abort() }
}

/// The user that the process runs as.
pub fn user_id() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { bindings::getuid() }
}

/// The process's own number.
pub fn process_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { bindings::getpid() }
}

/// 32 bytes of the kernel's random generator.
pub fn random_bytes() -> Result<[u8; 32], Errno> {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the buffer is valid for its length.
        let read = unsafe { bindings::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(read) {
            Ok(read) => filled += read,
            Err(_) => match Errno::last() {
                Errno::EINTR => {}
                error => return Err(error),
            },
        }
    }
    Ok(bytes)
}

/// Lets this thread wait; shorter if a signal comes.
pub fn sleep_milliseconds(milliseconds: u32) {
    let request = Timespec {
        seconds: i64::from(milliseconds / 1000),
        nanoseconds: core::ffi::c_long::from(milliseconds % 1000) * 1_000_000,
    };
    // SAFETY: the request is valid, and null says that the remaining time is of no interest.
    unsafe { bindings::nanosleep(&request, core::ptr::null_mut()) };
}
