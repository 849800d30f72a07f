//! The payload's process: from the task in its configuration to how it ended.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::payload_config::Task;
use microbuild_sys::kernel::confinement::Confinement;
use microbuild_sys::kernel::console::say;
use microbuild_sys::kernel::process::{end_all_others, signal_name, wait_for, Exit};

use crate::failure::{Failure, Reason};
use crate::payload_log;
use crate::payload_root::{PayloadRoot, PAYLOAD_ID};

const LAUNCHER: &str = "/system/bin/microdroid_launcher";
/// Where the system image has libvm_payload.so.
const SYSTEM_LIBRARIES: &str = "/system/lib64";
const APK: &str = "/mnt/apk";
pub const ABI: &str = if cfg!(target_arch = "aarch64") {
    "arm64-v8a"
} else {
    "x86_64"
};

/// The name that a launcher's library has in the APK.
pub fn library_entry(library: &str) -> String {
    format!("lib/{ABI}/{library}")
}

/// Runs the task to its end and returns its exit code. Nothing that it started is left then, and what it printed is out.
///
/// # Errors
/// When it cannot be started or was killed by a signal.
pub fn run(task: &Task) -> Result<i32, Failure> {
    let (mut command, program) = command_of(task);
    let (log, output) = payload_log::start().map_err(Failure::cannot("make the payload's log"))?;
    let errors = output
        .try_clone()
        .map_err(Failure::cannot("make the payload's log"))?;
    command
        .env_clear()
        // A library of the APK may need others of the APK, and libvm_payload; on Android its linker name space is that
        // folder and the public libraries.
        .env(
            "LD_LIBRARY_PATH",
            format!("{APK}/lib/{ABI}:{SYSTEM_LIBRARIES}"),
        )
        .env("TMPDIR", "/tmp")
        .env("HOME", "/data")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    confine(&mut command)?;
    let child = command
        .spawn()
        .map_err(Failure::cannot(format_args!("start {program}")))?;
    // With it goes this process's end of the pipe.
    drop(command);
    let exit = wait_for(child.id()).map_err(Failure::cannot("wait for the payload"))?;
    end_all_others().map_err(Failure::cannot("end what the payload left"))?;
    log.finish();
    match exit {
        Exit::Code(code) => Ok(code),
        Exit::Signal(signal) => {
            let text = format!(
                "the payload was killed by signal {signal} ({})",
                signal_name(signal)
            );
            Err(Failure::runtime(Reason::Unknown, text))
        }
    }
}

fn command_of(task: &Task) -> (Command, &str) {
    match task {
        Task::Launcher { library } => {
            let mut command = Command::new(LAUNCHER);
            command.arg(Path::new(APK).join(library_entry(library)));
            (command, LAUNCHER)
        }
        Task::Executable { path, arguments } => {
            let mut command = Command::new(path);
            command.args(arguments);
            (command, path)
        }
    }
}

fn confine(command: &mut Command) -> Result<(), Failure> {
    let confinement = Confinement::new(PayloadRoot::path(), PAYLOAD_ID, PAYLOAD_ID)
        .map_err(Failure::cannot("confine the payload"))?;
    if !confinement.has_filter() {
        // It was chosen and signed with the image, so this is no attack, but worth knowing.
        say("the kernel cannot filter system calls: the payload runs without a filter");
    }
    confinement.apply(command);
    Ok(())
}
