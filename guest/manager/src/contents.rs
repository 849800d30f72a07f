//! What the payload sees of an APK: its files, copied out once and read-only from then on.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use microbuild_formats::zip::{copy_entry, CopyError, Entry};
use microbuild_sys::kernel::mount::{self, mount};

use crate::apk_disk::Apk;
use crate::failure::{Failure, Reason};

const PROGRAMS: &str = "bin/";
const PAGE_SIZE: u64 = 4096;
/// Files and directories together; each costs about a kilobyte of kernel memory.
const INODE_COUNT_MAX: usize = 16 * 1024;

/// Whether files may be executed and mapped as code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    Allowed,
    Refused,
}

/// Shows the APK's files at `target`, a directory.
pub fn show(apk: &Apk, target: &Path, programs: Programs) -> Result<(), Failure> {
    let size = size_in_memory(&apk.entries);
    check_memory(size)?;
    let mut flags = mount::NOSUID | mount::NODEV;
    if programs == Programs::Refused {
        flags |= mount::NOEXEC;
    }
    let options = format!("size={size},nr_inodes={INODE_COUNT_MAX},mode=0755");
    mount("tmpfs", target, "tmpfs", flags, &options).map_err(Failure::cannot("mount the APK"))?;
    for entry in &apk.entries {
        copy(apk, entry, target)?;
    }
    let flags = flags | mount::REMOUNT | mount::READ_ONLY;
    mount("tmpfs", target, "tmpfs", flags, "").map_err(Failure::cannot("seal the APK"))
}

/// In whole pages, with one for each directory that a path may need.
fn size_in_memory(entries: &[Entry]) -> u64 {
    entries
        .iter()
        .map(|entry| entry.size.div_ceil(PAGE_SIZE) * PAGE_SIZE)
        .sum::<u64>()
        + PAGE_SIZE
}

/// Declared sizes are bounded before anything is unpacked: three quarters of what is free, so that the payload can run.
fn check_memory(size: u64) -> Result<(), Failure> {
    let available = available_memory().map_err(Failure::cannot("read the memory's size"))?;
    if size > available / 4 * 3 {
        let text = format!(
            "the APK's files take {size} bytes, {available} are free: give the VM more memory"
        );
        return Err(Failure::config("payload-config", text));
    }
    Ok(())
}

fn available_memory() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes
        .map(|size| size * 1024)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn copy(apk: &Apk, entry: &Entry, target: &Path) -> Result<(), Failure> {
    let cannot = |error: io::Error| {
        Failure::runtime(
            Reason::Unknown,
            format!("cannot unpack {}: {error}", entry.name),
        )
    };
    // The ZIP profile has seen to it that the name is relative, has no `..`, and is no other file's directory.
    let path = target.join(&entry.name);
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(cannot)?;
    }
    let mode = if entry.name.starts_with(PROGRAMS) {
        0o755
    } else {
        0o644
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&path)
        .map_err(cannot)?;
    copy_entry(&apk.device, entry, |bytes| file.write_all(bytes)).map_err(|error| match error {
        CopyError::Format(error) => {
            Failure::verification("payload-zip", format!("{}: {error}", entry.name))
        }
        CopyError::Sink(error) => cannot(error),
    })
}
