//! The lines that people and the runner read: the console, and the second serial port for the reason of a failure.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::{ioctl_value, uptime_millis};

const CONSOLE: &str = "/dev/console";
/// Where Android's virtual machine manager reads why a VM gave up: the second serial port. Where the first is of another kind, as
/// on most boards for Arm, the second is the first of this one.
const FAILURE_PORTS: [&str; 2] = ["/dev/ttyS1", "/dev/ttyS0"];
/// Names of the terminals that are the console.
const ACTIVE_CONSOLES: &str = "/sys/class/tty/console/active";

/// `microbuild: phase NAME +MILLISECONDS`
pub fn report_phase(phase: &str) {
    say(&format!("phase {phase} +{}", uptime_millis()));
}

/// `microbuild: verity MAJOR:MINOR LABEL`: which partition the kernel means when it reports a corrupted block.
pub fn report_verity(number: &str, label: &str) {
    say(&format!("verity {number} {label}"));
}

/// `microbuild: refused REASON LINK: TEXT`, and `REASON|TEXT` on the failure port. Returns when both are sent.
pub fn report_refusal(reason: &str, link: &str, text: &str) {
    let text = one_line(text);
    say(&format!("refused {reason} {link}: {text}"));
    // The console has the same words: a machine without the port is no reason to fail differently.
    let consoles = fs::read_to_string(ACTIVE_CONSOLES).unwrap_or_default();
    for path in FAILURE_PORTS
        .iter()
        .filter(|path| !is_console(path, &consoles))
    {
        let Some(mut port) = open(path) else { continue };
        // Ports that the machine lacks can be opened, and nothing be written to them.
        if port
            .write_all(format!("{reason}|{text}\n").as_bytes())
            .is_ok()
        {
            drain(port.as_fd());
            return;
        }
    }
}

/// What is for machines must not come between what is for people.
fn is_console(path: &str, active: &str) -> bool {
    let name = path.trim_start_matches("/dev/");
    active.split_whitespace().any(|console| console == name)
}

/// One line on the console, behind the program's name.
pub fn say(text: &str) {
    say_for("microbuild", text);
}

/// One line on the console, behind the name of whose words they are.
pub fn say_for(speaker: &str, text: &str) {
    if let Some(mut console) = open(CONSOLE) {
        let _ = console.write_all(format!("{speaker}: {}\n", one_line(text)).as_bytes());
        drain(console.as_fd());
    }
}

/// O_NOCTTY: the console must not become PID 1's controlling terminal, whose hang-up would be sent to it.
fn open(path: &str) -> Option<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path)
        .ok()
}

/// Waits until the port has sent what was written: power-off does not.
fn drain(port: BorrowedFd<'_>) {
    // TCSBRK with a non-zero argument is tcdrain. A console that is no terminal needs none.
    let _ = ioctl_value(port, libc::TCSBRK as libc::c_ulong, 1);
}

/// What came from outside must not be able to start a line of its own.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
