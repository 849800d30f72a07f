//! Waiting for processes, and ending them, as PID 1 does.

use std::io;

use super::check;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
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

/// Ends every process but this one, and waits until they are gone. Only for PID 1: anybody else would end a whole system.
///
/// # Errors
/// `PermissionDenied` when this is another process.
pub fn end_all_others() -> io::Result<()> {
    if std::process::id() != 1 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    // SAFETY: kill takes numbers only; waitpid stores no status at a null pointer.
    unsafe {
        // That there is nobody left is no failure.
        libc::kill(-1, libc::SIGKILL);
        while libc::waitpid(-1, std::ptr::null_mut(), 0) > 0 {}
    }
    Ok(())
}

/// The signal's name, such as `SIGSEGV`.
#[must_use]
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGALRM => "SIGALRM",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        _ => "another signal",
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn nobody_but_pid_1_ends_all_processes() {
        assert!(end_all_others().is_err());
    }

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
