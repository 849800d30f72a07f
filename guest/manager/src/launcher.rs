//! The payload's process: user 6000, no capability, no way to get one, no descriptor but the console.

use std::path::Path;
use std::process::{Command, Stdio};

use microbuild_sys::kernel::console::open_console;
use microbuild_sys::kernel::process::{confine, wait_for, Exit};

use crate::failure::{Failure, Reason};

/// User and group, as on Android.
pub const PAYLOAD_ID: u32 = 6000;
const LAUNCHER: &str = "/system/bin/microdroid_launcher";
/// Where the system image has libvm_payload.so.
const SYSTEM_LIBRARIES: &str = "/system/lib64";

/// Runs the library's `AVmPayload_main` and returns its exit code.
pub fn run(library: &Path) -> Result<i32, Failure> {
    let fail = |text: String| Failure::runtime(Reason::Unknown, text);
    let mut command = Command::new(LAUNCHER);
    command
        .arg(library)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(console())
        .stderr(console());
    if let Some(directory) = library.parent() {
        // A library of the APK may need others of the APK, and libvm_payload; on Android its linker
        // namespace is that folder and the public libraries.
        let path = format!("{}:{SYSTEM_LIBRARIES}", directory.display());
        command.env("LD_LIBRARY_PATH", path);
    }
    confine(&mut command, PAYLOAD_ID, PAYLOAD_ID);
    let child = command
        .spawn()
        .map_err(|error| fail(format!("cannot start {LAUNCHER}: {error}")))?;
    match wait_for(child.id())
        .map_err(|error| fail(format!("cannot wait for the payload: {error}")))?
    {
        Exit::Code(code) => Ok(code),
        Exit::Signal(signal) => Err(fail(format!("the payload was killed by signal {signal}"))),
    }
}

/// A machine without a console runs its payload silently.
fn console() -> Stdio {
    open_console().map_or_else(Stdio::null, Stdio::from)
}
