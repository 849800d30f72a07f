//! What the payload sees of an APK: its files, served from the verified device as they are read.

use std::path::Path;

use microbuild_sys::kernel::mount::{self, remount};
use microbuild_zipfuse::{FileSystem, Owner};

use crate::apk_disk::Apk;
use crate::failure::Failure;
use crate::payload_root::PAYLOAD_ID;

/// Whether files may be executed and mapped as code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    Allowed,
    Refused,
}

/// As on Android: the payload can read, and execute, what it does not own.
const OWNER: Owner = Owner {
    uid: 0,
    gid: PAYLOAD_ID,
};

/// Shows the APK's files at `target`, a directory, until the machine ends.
pub fn show(apk: Apk, target: &Path, programs: Programs) -> Result<(), Failure> {
    let file_system = FileSystem::new(apk.device, apk.archive, OWNER)
        .map_err(|error| Failure::verification("payload-zip", error))?;
    microbuild_zipfuse::mount(file_system, target).map_err(Failure::cannot("mount the APK"))?;
    if programs == Programs::Refused {
        let flags = mount::READ_ONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC;
        remount(target, flags).map_err(Failure::cannot("seal the APK"))?;
    }
    Ok(())
}
