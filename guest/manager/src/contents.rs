//! What the payload sees of its APK: libraries for this machine and assets, copied out once and read-only from then on.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use microbuild_formats::zip::{copy_entry, CopyError, Entry};
use microbuild_sys::kernel::mount::{self, mount};

use crate::apk_disk::Apk;
use crate::failure::{Failure, Reason};

const MOUNT_POINT: &str = "/mnt/apk";
const ASSETS: &str = "assets/";
const PAGE_SIZE: u64 = 4096;
/// Files and directories together; each costs about a kilobyte of kernel memory.
const INODE_COUNT_MAX: usize = 16 * 1024;
const ABI: &str = if cfg!(target_arch = "aarch64") {
    "arm64-v8a"
} else {
    "x86_64"
};

/// Fills `/mnt/apk` and returns the path of the payload's library in it.
pub fn extract(apk: &Apk, entries: &[Entry], library: &str) -> Result<PathBuf, Failure> {
    let library = format!("lib/{ABI}/{library}");
    let wanted: Vec<&Entry> = entries
        .iter()
        .filter(|entry| is_wanted(&entry.name))
        .collect();
    if !wanted.iter().any(|entry| entry.name == library) {
        return Err(Failure::config(
            "payload-config",
            format!("the APK has no {library}"),
        ));
    }
    let size = size_in_memory(&wanted);
    check_memory(size)?;
    mount_target(size).map_err(|error| {
        Failure::runtime(
            Reason::Unknown,
            format!("cannot mount {MOUNT_POINT}: {error}"),
        )
    })?;
    for entry in wanted {
        extract_entry(apk, entry)?;
    }
    let flags = mount::REMOUNT | mount::READ_ONLY | mount::NOSUID | mount::NODEV;
    mount("tmpfs", Path::new(MOUNT_POINT), "tmpfs", flags, "").map_err(|error| {
        Failure::runtime(
            Reason::Unknown,
            format!("cannot make {MOUNT_POINT} read-only: {error}"),
        )
    })?;
    Ok(Path::new(MOUNT_POINT).join(library))
}

/// Assets, and shared libraries for this machine.
fn is_wanted(name: &str) -> bool {
    let library = name
        .strip_prefix("lib/")
        .and_then(|rest| rest.strip_prefix(ABI))
        .and_then(|rest| rest.strip_prefix('/'));
    name.starts_with(ASSETS)
        || library.is_some_and(|file| file.ends_with(".so") && !file.contains('/'))
}

/// In whole pages, with one for each directory that a path may need.
fn size_in_memory(entries: &[&Entry]) -> u64 {
    entries
        .iter()
        .map(|entry| entry.size.div_ceil(PAGE_SIZE) * PAGE_SIZE)
        .sum::<u64>()
        + PAGE_SIZE
}

/// Declared sizes are bounded before anything is unpacked: three quarters of what is free, so that the payload can run.
fn check_memory(size: u64) -> Result<(), Failure> {
    let available = available_memory().map_err(|error| {
        Failure::runtime(
            Reason::Unknown,
            format!("cannot read the memory's size: {error}"),
        )
    })?;
    if size > available / 4 * 3 {
        let text = format!("the APK's libraries and assets take {size} bytes, {available} are free: give the VM more memory");
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

fn mount_target(size: u64) -> io::Result<()> {
    fs::create_dir(MOUNT_POINT)?;
    let options = format!("size={size},nr_inodes={INODE_COUNT_MAX},mode=0755");
    mount(
        "tmpfs",
        Path::new(MOUNT_POINT),
        "tmpfs",
        mount::NOSUID | mount::NODEV,
        &options,
    )
}

fn extract_entry(apk: &Apk, entry: &Entry) -> Result<(), Failure> {
    let cannot = |error: io::Error| {
        Failure::runtime(
            Reason::Unknown,
            format!("cannot unpack {}: {error}", entry.name),
        )
    };
    // The ZIP profile has seen to it that the name is relative, has no `..`, and is no other file's directory.
    let path = Path::new(MOUNT_POINT).join(&entry.name);
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(cannot)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&path)
        .map_err(cannot)?;
    copy_entry(&apk.device, entry, |bytes| file.write_all(bytes)).map_err(|error| match error {
        CopyError::Format(error) => {
            Failure::verification("payload-zip", format!("{}: {error}", entry.name))
        }
        CopyError::Sink(error) => cannot(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_assets_and_libraries_for_this_machine_are_wanted() {
        let library = format!("lib/{ABI}/libhello.so");
        for wanted in ["assets/a", "assets/a/b.txt", &library] {
            assert!(is_wanted(wanted), "{wanted}");
        }
        for other in [
            "assets",
            "AndroidManifest.xml",
            "lib/armeabi-v7a/libhello.so",
            "lib/libhello.so",
            "res/a.so",
        ] {
            assert!(!is_wanted(other), "{other}");
        }
        assert!(!is_wanted(&format!("lib/{ABI}/sub/libhello.so")));
        assert!(!is_wanted(&format!("lib/{ABI}/readme.txt")));
        assert!(!is_wanted(&format!("lib/{ABI}x/libhello.so")));
    }
}
