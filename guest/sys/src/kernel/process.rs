//! Starting a program that must not be able to do anything, and waiting for it as PID 1 does.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::check;

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

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// Makes the command's process give up, before it executes: groups, user, capabilities for good, new privileges, a
/// session of the parent's and every descriptor but the standard three.
pub fn confine(command: &mut Command, uid: u32, gid: u32) {
    let give_up = move || {
        // SAFETY: none of these calls takes a pointer, except setgroups, which reads no group.
        unsafe {
            check(libc::setsid())?;
            check(libc::close_range(
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
            ))?;
            drop_bounding_set()?;
            check(libc::setgroups(0, std::ptr::null()))?;
            check(libc::setresgid(gid, gid, gid))?;
            check(libc::setresuid(uid, uid, uid))?;
        }
        drop_capabilities()?;
        // SAFETY: prctl with numbers only.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        Ok(())
    };
    // SAFETY: the closure makes system calls only: it neither allocates nor takes a lock, which another thread of this
    // process could have held at the time of the fork.
    unsafe { command.pre_exec(give_up) };
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

/// Waits for the process `pid`. Orphans that end meanwhile are PID 1's children: they are reaped on the way.
///
/// # Errors
/// What waitpid(2) says.
pub fn wait_for(pid: u32) -> io::Result<Exit> {
    loop {
        let mut status: libc::c_int = 0;
        // SAFETY: the kernel stores one int.
        let ended = match check(unsafe { libc::waitpid(-1, &mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if u32::try_from(ended) != Ok(pid) {
            continue;
        }
        if libc::WIFEXITED(status) {
            return Ok(Exit::Code(libc::WEXITSTATUS(status)));
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Exit::Signal(libc::WTERMSIG(status)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "wait_for is what waits")]
    fn wait_tells_a_code_from_a_signal() {
        for (script, exit) in [("exit 7", Exit::Code(7)), ("kill -9 $$", Exit::Signal(9))] {
            let child = Command::new("/bin/sh")
                .args(["-c", script])
                .spawn()
                .expect("spawn");
            assert_eq!(wait_for(child.id()).expect("wait"), exit);
        }
    }
}
