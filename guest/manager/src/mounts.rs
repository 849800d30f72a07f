//! The writable places of a system whose root is read-only: all in memory, none with programs.

use std::fs;
use std::path::Path;

use microbuild_sys::kernel::mount::{self, mount};

use crate::failure::{Failure, Reason};

pub const SOCKET_DIRECTORY: &str = "/dev/socket";

/// `/run` is there already: init left the bootconfig in it.
pub fn mount_all() -> Result<(), Failure> {
    let flags = mount::NOSUID | mount::NODEV | mount::NOEXEC;
    let mounts = [
        ("/data", "mode=0771"),
        ("/tmp", "mode=1777"),
        ("/mnt", "size=1m,mode=0755"),
    ];
    for (target, options) in mounts {
        mount("tmpfs", Path::new(target), "tmpfs", flags, options).map_err(|error| {
            Failure::runtime(Reason::Unknown, format!("cannot mount {target}: {error}"))
        })?;
    }
    fs::create_dir(SOCKET_DIRECTORY).map_err(|error| {
        Failure::runtime(
            Reason::Unknown,
            format!("cannot create {SOCKET_DIRECTORY}: {error}"),
        )
    })
}
