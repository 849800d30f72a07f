//! PID 1: from the bootconfig to a verified system image, where the manager takes over, or to power-off.
//!
//! Decides by the bootconfig that the kernel unpacked next to it and by nothing else: the command line is the host's.

#![forbid(unsafe_code)]

mod bootconfig;
mod modules;
mod partition;
mod plan;
mod refusal;
mod vbmeta;

use std::env;
use std::path::{Path, PathBuf};

use microbuild_sys::kernel::console::{report_phase, report_refusal};
use microbuild_sys::kernel::mount::{self, mount};
use microbuild_sys::kernel::power::power_off;

use refusal::{Link, Refusal};

const REASON: &str = "MICROBUILD_OS_VERIFICATION_FAILED";
const NEW_ROOT: &str = "/newroot";

fn main() {
    forget_environment();
    match boot() {
        Ok(mount_points) => microbuild_manager::run(&mount_points),
        Err(refusal) => {
            report_refusal(REASON, refusal.link.name(), &refusal.text);
            power_off()
        }
    }
}

/// What the kernel makes of words of the command line that it does not know is the host's.
fn forget_environment() {
    for (name, _) in env::vars_os() {
        env::remove_var(name);
    }
}

/// Returns where partitions are mounted in the system, which is the root then.
fn boot() -> Result<Vec<PathBuf>, Refusal> {
    mount_kernel_file_systems()?;
    report_phase("init");
    modules::load_all();
    report_phase("modules");
    let config = bootconfig::read()?;
    let plan = plan::make(vbmeta::read_hashtrees(&config)?, &config.values)?;
    report_phase("vbmeta");
    let new_root = Path::new(NEW_ROOT);
    partition::mount_system(&plan.system, new_root)?;
    partition::mount_all(&plan.partitions, new_root)?;
    bootconfig::hand_over(new_root, &config)?;
    report_phase("system");
    enter(new_root)?;
    let mount_points = plan.partitions.into_iter().map(|each| each.mount_point);
    Ok(mount_points.collect())
}

fn mount_kernel_file_systems() -> Result<(), Refusal> {
    let flags = mount::NOSUID | mount::NOEXEC;
    let mounts = [
        ("devtmpfs", "/dev", "devtmpfs", mount::NOSUID),
        ("proc", "/proc", "proc", flags | mount::NODEV),
        ("sysfs", "/sys", "sysfs", flags | mount::NODEV),
    ];
    for (source, target, file_system, flags) in mounts {
        mount(source, Path::new(target), file_system, flags, "").map_err(|error| {
            Refusal::new(Link::System, format!("cannot mount {target}: {error}"))
        })?;
    }
    // A panic must end the machine at once; whether the host asked for that on the command line must not matter.
    std::fs::write("/proc/sys/kernel/panic", "-1").map_err(|error| {
        Refusal::new(
            Link::System,
            format!("cannot set the panic action: {error}"),
        )
    })
}

/// Leaves the initramfs for good.
fn enter(new_root: &Path) -> Result<(), Refusal> {
    let fail = |step: &str, error: std::io::Error| {
        Refusal::new(Link::System, format!("cannot {step}: {error}"))
    };
    for name in ["dev", "proc", "sys"] {
        mount::move_mount(&Path::new("/").join(name), &new_root.join(name))
            .map_err(|error| fail("move mounts", error))?;
    }
    mount::switch_root(new_root).map_err(|error| fail("switch root", error))
}
