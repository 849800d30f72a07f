//! How the process lives and ends.

use std::io;
use std::mem::zeroed;
use std::os::fd::OwnedFd;
use std::ptr;

use super::{check, own};

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
