//! The root directory of the payload, which sees nothing else: the verified system, its APKs, and next to nothing of
//! the kernel's file systems. Everything is read-only but `/data` and `/tmp`.
//!
//! The manager prepares it at a place of its own; the payload's process enters it in a mount name space of its own.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{chown, DirBuilderExt};
use std::path::{Path, PathBuf};

use microbuild_sys::kernel::device_node::copy_character_device;
use microbuild_sys::kernel::mount::{self, bind, mount};

use crate::failure::Failure;

/// Of the manager: where services make the sockets that payloads may connect to.
pub const SOCKET_DIRECTORY: &str = "/dev/socket";
/// User and group, as on Android.
pub const PAYLOAD_ID: u32 = 6000;

const ROOT: &str = "/run/payload";
/// What the payload can write, in one file system with one bound; only parts of it are shown.
const SCRATCH: &str = "/run/payload-data";
/// A payload that fills its files must leave memory to itself and to the manager.
const SCRATCH_SHARE_OF_MEMORY: u64 = 4;
const DEVICES: [&str; 6] = ["full", "null", "random", "urandom", "vsock", "zero"];
/// Of /proc, beside what is for root only: what tells of the kernel's insides or acts on the machine.
const MASKED: [&str; 6] = [
    "kallsyms",
    "kcore",
    "keys",
    "kmsg",
    "sysrq-trigger",
    "timer_list",
];

const SEALED: u64 = mount::READ_ONLY | mount::NOSUID | mount::NODEV;
const NO_PROGRAMS: u64 = mount::NOSUID | mount::NODEV | mount::NOEXEC;

/// Makes the place for sockets. Before any service starts.
pub fn make_socket_directory() -> Result<(), Failure> {
    fs::create_dir(SOCKET_DIRECTORY)
        .map_err(Failure::cannot(format_args!("create {SOCKET_DIRECTORY}")))
}

/// A root with places to mount APKs at.
pub struct PayloadRoot {
    extra_apk_count: usize,
}

impl PayloadRoot {
    /// Mounts everything but the APKs. `partitions` are the places of further images, outer ones first.
    pub fn prepare(partitions: &[PathBuf], extra_apk_count: usize) -> Result<Self, Failure> {
        let root = Self { extra_apk_count };
        let cannot = |what: &'static str| Failure::cannot(format!("mount the payload's {what}"));
        root.mount_system(partitions).map_err(cannot("system"))?;
        root.mount_devices().map_err(cannot("/dev"))?;
        root.mount_processes().map_err(cannot("/proc"))?;
        root.mount_scratch().map_err(cannot("/data"))?;
        root.mount_places().map_err(cannot("/mnt"))?;
        Ok(root)
    }

    /// Where it is for the manager.
    pub fn path() -> &'static Path {
        Path::new(ROOT)
    }

    /// For the manager, where the payload will see the APK: the first is its own.
    pub fn apk_mount_point(index: usize) -> PathBuf {
        in_root(&apk_path(index))
    }

    /// After the APKs are mounted.
    pub fn seal(&self) -> Result<(), Failure> {
        let flags = mount::REMOUNT | SEALED | mount::NOEXEC;
        mount("tmpfs", &in_root("/mnt"), "tmpfs", flags, "")
            .map_err(Failure::cannot("seal the payload's /mnt"))
    }

    /// The images themselves, without what the manager has mounted upon them: in their places are empty directories.
    fn mount_system(&self, partitions: &[PathBuf]) -> io::Result<()> {
        fs::create_dir(ROOT)?;
        bind(Path::new("/"), Path::new(ROOT), SEALED)?;
        for place in partitions {
            bind(place, &in_root(&place.to_string_lossy()), SEALED)?;
        }
        Ok(())
    }

    fn mount_devices(&self) -> io::Result<()> {
        let target = in_root("/dev");
        let flags = mount::NOSUID | mount::NOEXEC;
        let options = "size=64k,nr_inodes=32,mode=0755";
        mount("tmpfs", &target, "tmpfs", flags, options)?;
        for name in DEVICES {
            copy_character_device(&Path::new("/dev").join(name), &target.join(name))?;
        }
        let sockets = target.join("socket");
        fs::create_dir(&sockets)?;
        bind(
            Path::new(SOCKET_DIRECTORY),
            &sockets,
            SEALED | mount::NOEXEC,
        )?;
        let flags = mount::REMOUNT | mount::READ_ONLY | flags;
        mount("tmpfs", &target, "tmpfs", flags, "")
    }

    fn mount_processes(&self) -> io::Result<()> {
        let target = in_root("/proc");
        let flags = SEALED | mount::NOEXEC;
        // Other users' processes, which are the manager's, are not there at all.
        mount("proc", &target, "proc", flags, "hidepid=2")?;
        for name in MASKED {
            let path = target.join(name);
            if path.exists() {
                bind(&in_root("/dev/null"), &path, SEALED | mount::NOEXEC)?;
            }
        }
        Ok(())
    }

    fn mount_scratch(&self) -> io::Result<()> {
        let scratch = Path::new(SCRATCH);
        DirBuilder::new().mode(0o700).create(scratch)?;
        let size = total_memory()? / SCRATCH_SHARE_OF_MEMORY;
        let options = format!("size={size},mode=0700");
        mount("tmpfs", scratch, "tmpfs", NO_PROGRAMS, &options)?;
        for name in ["data", "tmp"] {
            let directory = scratch.join(name);
            DirBuilder::new().mode(0o700).create(&directory)?;
            chown(&directory, Some(PAYLOAD_ID), Some(PAYLOAD_ID))?;
            bind(&directory, &in_root("/").join(name), NO_PROGRAMS)?;
        }
        Ok(())
    }

    fn mount_places(&self) -> io::Result<()> {
        let options = "size=64k,nr_inodes=64,mode=0755";
        mount("tmpfs", &in_root("/mnt"), "tmpfs", NO_PROGRAMS, options)?;
        for index in 0..=self.extra_apk_count {
            fs::create_dir_all(Self::apk_mount_point(index))?;
        }
        Ok(())
    }
}

/// The paths are Android's.
fn apk_path(index: usize) -> String {
    match index.checked_sub(1) {
        None => "/mnt/apk".to_owned(),
        Some(extra) => format!("/mnt/extra-apk/{extra}"),
    }
}

fn in_root(path: &str) -> PathBuf {
    Path::new(ROOT).join(path.trim_start_matches('/'))
}

fn total_memory() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    memory_size(&text, "MemTotal:").ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// In bytes.
fn memory_size(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apks_are_mounted_where_android_has_them() {
        let paths = [0, 1, 2].map(PayloadRoot::apk_mount_point);
        assert_eq!(paths[0], Path::new("/run/payload/mnt/apk"));
        assert_eq!(paths[1], Path::new("/run/payload/mnt/extra-apk/0"));
        assert_eq!(paths[2], Path::new("/run/payload/mnt/extra-apk/1"));
    }

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let text = "MemTotal:         125888 kB\nMemFree:            1 kB\n";
        assert_eq!(memory_size(text, "MemTotal:"), Some(125_888 * 1024));
        assert_eq!(memory_size(text, "MemAvailable:"), None);
        assert_eq!(memory_size("MemTotal: 1 MB\n", "MemTotal:"), None);
    }
}
