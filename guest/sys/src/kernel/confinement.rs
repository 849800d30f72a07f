//! Starting a program that must not be able to do anything: a root of its own, a user without capabilities, a filter on
//! its system calls, limits, and no descriptor but the standard three.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::seccomp::{self, Filter};
use super::{c_path, check};

/// `struct __user_cap_header_struct` and two `__user_cap_data_struct`: linux/capability.h, version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// The kernel knows some 40 capabilities; asking for one that it does not know says EINVAL, which ends the list.
const CAPABILITY_COUNT_MAX: libc::c_ulong = 64;
/// The first to go when memory runs out.
const OOM_SCORE: &CStr = c"1000";

/// Soft and hard are the same: what the kernel lets a process do to the rest of the machine. Memory is not limited here,
/// as who runs out of it is the first to go.
const LIMITS: [(libc::c_int, libc::rlim_t); 7] = [
    (libc::RLIMIT_CORE as libc::c_int, 0),
    (libc::RLIMIT_NOFILE as libc::c_int, 4096),
    (libc::RLIMIT_NPROC as libc::c_int, 1024),
    (libc::RLIMIT_MEMLOCK as libc::c_int, 64 * 1024),
    (libc::RLIMIT_MSGQUEUE as libc::c_int, 0),
    (libc::RLIMIT_NICE as libc::c_int, 0),
    (libc::RLIMIT_RTPRIO as libc::c_int, 0),
];

/// What a program gives up before it starts.
#[derive(Debug)]
pub struct Confinement {
    root: CString,
    uid: libc::uid_t,
    gid: libc::gid_t,
    filter: Option<Filter>,
}

impl Confinement {
    /// `root` must be a mount point: it becomes `/`, and everything that is not mounted below it goes out of reach.
    ///
    /// # Errors
    /// `InvalidInput` when the path holds a NUL.
    pub fn new(root: &Path, uid: u32, gid: u32) -> io::Result<Self> {
        let filter = seccomp::is_supported().then(Filter::for_payloads);
        Ok(Self {
            root: c_path(root)?,
            uid,
            gid,
            filter,
        })
    }

    /// Whether system calls are filtered: not on a kernel that cannot.
    #[must_use]
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Makes the command's process give all of it up before it executes.
    pub fn apply(self, command: &mut Command) {
        let give_up = move || self.enter();
        // SAFETY: `enter` makes system calls only: it neither allocates nor takes a lock, which another thread of this
        // process could have held at the time of the fork.
        unsafe { command.pre_exec(give_up) };
    }

    fn enter(&self) -> io::Result<()> {
        become_first_victim()?;
        enter_root(&self.root)?;
        // SAFETY: none of these calls takes a pointer, except setgroups, which reads no group.
        unsafe {
            check(libc::setsid())?;
            check(libc::close_range(
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
            ))?;
            libc::umask(0o077);
        }
        limit()?;
        drop_bounding_set()?;
        // SAFETY: as above.
        unsafe {
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(self.gid, self.gid, self.gid))?;
            check(libc::setresuid(self.uid, self.uid, self.uid))?;
        }
        drop_capabilities()?;
        // SAFETY: prctl with numbers only.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        self.filter.as_ref().map_or(Ok(()), Filter::install)
    }
}

/// Inherited by all children; taking it back needs a capability.
fn become_first_victim() -> io::Result<()> {
    let path = c"/proc/self/oom_score_adj";
    // SAFETY: a NUL-terminated path; a live buffer of the length that is given; the descriptor is closed once.
    unsafe {
        let fd = check(libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC))?;
        let written = libc::write(fd, OOM_SCORE.as_ptr().cast(), OOM_SCORE.count_bytes());
        let error = io::Error::last_os_error();
        libc::close(fd);
        if written < 0 {
            return Err(error);
        }
    }
    Ok(())
}

/// A mount name space in which nothing but `root` is left.
fn enter_root(root: &CStr) -> io::Result<()> {
    let here = c".";
    // SAFETY: NUL-terminated strings that outlive the calls; mount ignores its null arguments for this flag.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        ))?;
        check(libc::chdir(root.as_ptr()))?;
        // With one place for both, the old root lies upon the new one, and is taken off.
        let swapped = libc::syscall(libc::SYS_pivot_root, here.as_ptr(), here.as_ptr());
        check(swapped as libc::c_int)?;
        check(libc::umount2(here.as_ptr(), libc::MNT_DETACH))?;
        check(libc::chdir(c"/".as_ptr()))?;
    }
    Ok(())
}

fn limit() -> io::Result<()> {
    for (resource, value) in LIMITS {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        // SAFETY: the kernel reads one rlimit.
        check(unsafe { libc::setrlimit(resource as _, &limit) })?;
    }
    Ok(())
}

fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..CAPABILITY_COUNT_MAX {
        // SAFETY: prctl with numbers only.
        let result = check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) });
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && capability > 0 => break,
            result => result?,
        };
    }
    Ok(())
}

/// Changing the user has cleared what is permitted and effective; this clears what is inheritable, and says so if not.
fn drop_capabilities() -> io::Result<()> {
    let header = CapabilityHeader {
        version: LINUX_CAPABILITY_VERSION_3,
        pid: 0,
    };
    let none = [CapabilityData {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    // SAFETY: the kernel reads one header and, for version 3, two data structures.
    let result =
        unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), none.as_ptr()) };
    check(result as libc::c_int)?;
    Ok(())
}
