//! The end of a virtual machine.

use std::time::Duration;

use super::check;

/// Powers the machine off. Where the platform cannot, ends this process: as PID 1 that is a kernel panic, never a
/// machine that goes on.
pub fn power_off() -> ! {
    // SAFETY: sync takes nothing; reboot with RB_POWER_OFF takes no pointer.
    let result = unsafe {
        libc::sync();
        check(libc::reboot(libc::RB_POWER_OFF))
    };
    if result.is_ok() {
        // The call returns only if power-off goes on in the background.
        std::thread::sleep(Duration::from_secs(10));
    }
    std::process::exit(1)
}
